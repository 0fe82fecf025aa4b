"""What limits how much may run at once: budgets that an assignment takes from, and who is next by fair share.

A limit counts attempts that have not ended, `stopping` ones included: what still holds a license holds it. A group of
tasks claims from each budget that its tasks count for; a task is given away only when every claim can be met. Lowering
a limit stops nothing: no more is given until enough has ended. A license without a total has none to give.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from coordinator.domain.reason import Reason
from coordinator.domain.why import Found


class Scope(StrEnum):
    """What a limit counts: tasks at once of one job, queue, kind or submitter, or licenses in use."""

    JOB = "job"
    QUEUE = "queue"
    KIND = "kind"
    SUBMITTER = "submitter"
    LICENSE = "license"


#: A budget's name: (queue, "gpu").
Key = tuple[Scope, str]
#: What one task of a group takes of which budgets.
Claims = tuple[tuple[Key, int], ...]


@dataclass(frozen=True, slots=True)
class Hold:
    """Somebody paused a job or a queue: its ready tasks wait, what runs goes on."""

    scope: Scope
    name: str
    by: str
    since: datetime
    reason: str | None = None

    @property
    def found(self) -> Found:
        """It as a reason."""
        because = f": {self.reason}" if self.reason else ""
        facts = {"name": self.name, "by": self.by, "because": because, "since": self.since}
        return Found(Reason.PAUSED_JOB if self.scope is Scope.JOB else Reason.PAUSED_QUEUE, facts)


@dataclass(frozen=True, slots=True)
class Exhausted:
    """A budget that has not enough left for one more task: it has `used` of `total`, and the task needs `needs`."""

    scope: Scope
    name: str
    used: int
    total: int
    needs: int = 1

    @property
    def found(self) -> Found:
        """It as a reason; that it never fits is another one than that others hold it now."""
        facts = {"name": self.name, "used": self.used, "total": self.total, "needs": self.needs}
        facts["holders"] = ""
        return Found(_NEVER[self.scope] if self.needs > self.total else _FULL[self.scope], facts)


_FULL: Final = {
    Scope.JOB: Reason.JOB_LIMIT,
    Scope.QUEUE: Reason.QUEUE_LIMIT,
    Scope.KIND: Reason.KIND_LIMIT,
    Scope.SUBMITTER: Reason.SUBMITTER_LIMIT,
    Scope.LICENSE: Reason.LICENSE,
}
_NEVER: Final = _FULL | {Scope.LICENSE: Reason.LICENSE_NEVER}


@dataclass(frozen=True, slots=True)
class Rules:
    """What operators have set for the farm as a whole."""

    limits: Mapping[Key, int] = field(default_factory=dict)
    paused: Mapping[str, Hold] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    fair: bool = True

    def claims(self, counted: Iterable[tuple[Key, int]]) -> Claims:
        """Those of *counted* that are limited."""
        return tuple((key, count) for key, count in counted if key in self.limits or key[0] is Scope.LICENSE)


#: A farm on which nobody has set anything.
NO_RULES: Final = Rules()


class Budgets:
    """What is left of each limit while tasks are placed."""

    def __init__(self, totals: Mapping[Key, int] | None = None, used: Mapping[Key, int] | None = None) -> None:
        self._totals = dict(totals or {})
        self._used = dict(used or {})

    def left(self, key: Key) -> int:
        """How much of *key* may still be taken; a limit lowered below its use leaves nothing."""
        return max(0, self._totals.get(key, 0) - self._used.get(key, 0))

    def room(self, claims: Claims) -> int | None:
        """How many more tasks with these *claims*; None when nothing limits them."""
        return min((self.left(key) // count for key, count in claims), default=None)

    def met(self, claims: Claims) -> bool:
        """Whether one more task with these *claims* may be held."""
        return all(self.left(key) >= count for key, count in claims)

    def exhausted(self, claims: Claims) -> Iterator[Exhausted]:
        """Those of *claims* that cannot be met."""
        for key, count in claims:
            if self.left(key) < count:
                yield Exhausted(*key, self._used.get(key, 0), self._totals.get(key, 0), count)

    def take(self, claims: Claims) -> None:
        """One more task with these *claims* is held."""
        for key, count in claims:
            self._used[key] = self._used.get(key, 0) + count

    def reopened(self, freed: Mapping[Key, int], wanted: Iterable[Claims]) -> bool:
        """Whether one of the *wanted* claims can be met only because *freed* has ended: then any worker may be next."""
        return any(
            (self.room(claims) or 0) > 0
            and any(self.left(key) - freed[key] < count for key, count in claims if key in freed)
            for claims in wanted
        )


class Shares:
    """Who is next among submitters whose jobs have equal priority in one queue: least held slots for his weight.

    share = slots held in the queue / weight; the smallest is first, and of equal ones who was served longest ago: else
    the oldest job would have the only slot of a small farm for ever. `turns` says who was served when, as numbers that
    only grow; `served` are those that have changed.
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        held: Mapping[tuple[str, str], int] | None = None,
        turns: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self._weights = weights
        self._held = dict(held or {})
        self._turns = dict(turns or {})
        self._last = max(self._turns.values(), default=0)
        self.served: dict[tuple[str, str], int] = {}

    def share(self, queue: str, submitter: str) -> tuple[float, int]:
        """What *submitter* has in *queue* by his weight, and his last turn; who has less is next."""
        who = (queue, submitter)
        return self._held.get(who, 0) / self._weights.get(submitter, 1.0), self._turns.get(who, 0)

    def take(self, queue: str, submitter: str, slots: int) -> None:
        """*submitter* holds *slots* more."""
        who = (queue, submitter)
        self._held[who] = self._held.get(who, 0) + slots
        self._last += 1
        self._turns[who] = self.served[who] = self._last
