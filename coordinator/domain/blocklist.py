"""Which workers get no more tasks of one kind in one job, because they fail too many of them.

A *mark* counts the tasks of the kind that this worker failed and nobody else has failed: when a second worker fails the
same task, the task is the suspect, and the first one is excused. A worker is blocked when its failures stand out from
those of the others that could do the same work,

    failures >= m + n * sqrt(max(1, m))        m: the mean of the others' failures, n: the job's `block_after`

which is n where the others fail nothing. It is unblocked when that is so no more. The last one is never blocked: the
retries of the tasks decide then. And when all that are not blocked have left the farm, the block is lifted. Workers
that are gone, quarantined, or could not run the tasks count for nothing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import sqrt
from typing import NamedTuple

from coordinator.domain.matching import TaskClass, eligible, reserved
from coordinator.domain.worker import PRESENT, Duty, Worker


class MarkKey(NamedTuple):
    """Whose failures, at what."""

    job_id: int
    kind: str
    worker_id: str


@dataclass(slots=True)
class Mark:
    """What stands against a worker: since `blocked_at` it gets no more tasks of the kind in the job."""

    job_id: int
    kind: str
    worker_id: str
    failures: int = 0
    failed_at: datetime | None = None
    blocked_at: datetime | None = None

    @property
    def key(self) -> MarkKey:
        """Its place."""
        return MarkKey(self.job_id, self.kind, self.worker_id)


def counts(worker: Worker) -> bool:
    """Whether somebody may wait for this worker: it is on the farm, or comes back by itself."""
    return worker.connection in PRESENT and worker.duty is not Duty.QUARANTINED


def _able(worker: Worker, need: TaskClass) -> bool:
    """Whether it could run such tasks, and is not kept for others."""
    return eligible(worker, need) and next(reserved(worker, need), None) is None


def others(
    name: str, blocked: Collection[str], workers: Iterable[Worker], classes: Iterable[TaskClass]
) -> list[Worker] | None:
    """Who could do the work of *name* on the *classes* that it can run, if it did not: those that count and are not
    *blocked*. None when some class would be left without anybody."""
    here = {worker.id: worker for worker in workers if counts(worker)}
    worker = here.pop(name, None)
    left = [one for one in here.values() if one.id not in blocked]
    found: dict[str, Worker] = {}
    for need in classes:
        if worker is not None and not _able(worker, need):
            continue
        able = [one for one in left if _able(one, need)]
        if not able:
            return None
        found.update((one.id, one) for one in able)
    return list(found.values()) or None


def stands_out(failures: int, of_others: Sequence[int], block_after: int) -> bool:
    """Whether so many failures are too many beside those of the others."""
    if not block_after or not of_others:
        return False
    mean = sum(of_others) / len(of_others)
    return failures >= mean + block_after * sqrt(max(1.0, mean))


def to_be_blocked(
    mark: Mark,
    marks: Mapping[str, Mark],
    workers: Sequence[Worker],
    classes: Sequence[TaskClass],
    block_after: int,
) -> bool:
    """Whether the worker of *mark* is to be blocked, given the job's *marks* of this kind (worker -> mark), all workers
    of the farm, and the *classes* of the job's tasks of this kind."""
    blocked = {name for name, one in marks.items() if one.blocked_at is not None}
    left = others(mark.worker_id, blocked, workers, classes)
    if left is None:
        return False
    failed = [marks[one.id].failures if one.id in marks else 0 for one in left]
    return stands_out(mark.failures, failed, block_after)


def is_stranded(need: TaskClass, blocked: Collection[str], workers: Iterable[Worker]) -> bool:
    """Whether tasks that these workers are *blocked* for are left without anybody: the block is to be lifted."""
    return not any(one.id not in blocked and counts(one) and _able(one, need) for one in workers)
