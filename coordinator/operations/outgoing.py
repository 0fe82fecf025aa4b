"""What a transaction has to tell workers, gathered until it is committed."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from coordinator.domain.attempt import Attempt
from coordinator.operations.wanted import Key
from schemas.task import Verdict


@dataclass
class Outgoing:
    """What is to be sent when the transaction has committed; all of it can be told again from the rows."""

    verdicts: defaultdict[str, list[tuple[int, int, Verdict]]] = field(default_factory=lambda: defaultdict(list))
    revocations: defaultdict[str, list[tuple[int, int, str]]] = field(default_factory=lambda: defaultdict(list))
    assigned: defaultdict[str, list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    welcomes: dict[str, list[Key]] = field(default_factory=dict)
    resets: dict[str, str] = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)

    def workers(self) -> Iterable[str]:
        """Whom there is something to tell."""
        return {*self.verdicts, *self.revocations, *self.assigned, *self.welcomes, *self.resets, *self.requests}

    def forget(self, workers: Iterable[str]) -> None:
        """Tell them nothing."""
        for name in list(workers):
            for some in (self.verdicts, self.revocations, self.assigned, self.welcomes, self.resets):
                some.pop(name, None)
            self.requests.discard(name)
