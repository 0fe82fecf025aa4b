"""What the mixed demo says at its end: which protocol did what. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from coordinator.storage.tally import Tally
from schemas.views import TaskView, WorkerView


@dataclass(frozen=True)
class Ending:
    """How it went: what the database says of the job, its tasks with who completed each, the workers, the total."""

    tally: Tally
    tasks: Sequence[TaskView]
    workers: Sequence[WorkerView]
    total: int | None
    expected: int
    seconds: float

    @property
    def by_protocol(self) -> dict[str, int]:
        """How many tasks the workers of each protocol completed."""
        protocols = {worker.id: worker.protocol for worker in self.workers}
        return dict(Counter(protocols.get(task.worker or "", "nobody") for task in self.tasks))

    @property
    def kept(self) -> bool:
        """Whether every task was completed by exactly one accepted attempt, and the sum is right."""
        tally = self.tally
        once = tally.completed == tally.tasks == tally.accepted and tally.not_exactly_once == 0
        return once and self.total == self.expected


def sentences(ending: Ending) -> Iterator[str]:
    """The summary, line by line."""
    for protocol, count in sorted(ending.by_protocol.items(), key=lambda each: -each[1]):
        names = ", ".join(f"{one.id} ({one.software})" for one in ending.workers if one.protocol == protocol)
        yield f"{protocol:<12} {count:>3} tasks by {names}"
    tally = ending.tally
    yield f"{'tasks':<12} {tally.tasks:>3}, completed {tally.completed}, attempts {tally.attempts}"
    if tally.not_exactly_once:
        yield f"{'promise':<12} BROKEN: {tally.not_exactly_once} tasks were not accepted exactly once"
    else:
        yield f"{'promise':<12} every task was accepted exactly once (counted in the database)"
    right = "as the formula says" if ending.total == ending.expected else f"WRONG: the formula says {ending.expected}"
    yield f"{'sum':<12} {ending.total}, {right}"
    yield f"{'time':<12} {ending.seconds:.0f} s"
