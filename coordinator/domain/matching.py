"""Which worker gets which task. Push to agents and pull by foreign protocols use this one function.

A worker serves its queues in order: whatever waits in the first comes before all in the second. Within a queue: job
priority, fair share of the submitters, task priority, age. Work spreads: the worker with most free slots is next. A
task goes to a worker that failed it before only when no other can run it.

Each rule is a `yield` in one of the generators here: `misfits` (a worker and a class), `shortage` (what is left on it),
`withheld` (a group), `averse` (a worker and a task), and `worker.unwilling`. Assignment asks whether there is any
reason, `explain` asks for all of them; so both always say the same. `planning` says which groups are looked at.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heapify, heappop, heapreplace
from typing import Final

from coordinator.domain.budget import Budgets, Claims, Hold, Key, Scope, Shares
from coordinator.domain.lanes import Candidate, First, Lanes, lanes_of
from coordinator.domain.protocol import is_native
from coordinator.domain.reason import Reason
from coordinator.domain.why import Found
from coordinator.domain.worker import Duty, Worker, has_labels, is_named, takes_work

__all__ = ["Candidate"]

#: As many tasks are placed in one go, at most; the rest follows at once in the next transaction.
MOST_PLACED: Final = 2000


@dataclass(frozen=True, slots=True)
class TaskClass:
    """Requirements that tasks share: who may run them, and what they take while they are held."""

    id: int
    queue: str
    kind: str
    tags: frozenset[str]
    labels: frozenset[str]
    zone: str | None
    slots: int
    cpus: float
    memory_mb: int
    gpus: int
    licenses: tuple[tuple[str, int], ...] = ()
    #: The commands of an exclusive task: its worker must be able to supervise each. Empty: it is not exclusive.
    exclusive: frozenset[str] = frozenset()
    #: The commands, secrets and limits that its worker must have, if it says which it has.
    runners: frozenset[str] = frozenset()
    secrets: frozenset[str] = frozenset()
    limits: frozenset[str] = frozenset()

    def counted(self, submitter: str) -> list[tuple[Key, int]]:
        """What one task of this class and *submitter* counts for, beside its job; the narrowest limit first."""
        return [
            *(((Scope.LICENSE, name), count) for name, count in self.licenses),
            ((Scope.QUEUE, self.queue), 1),
            ((Scope.KIND, self.kind), 1),
            ((Scope.SUBMITTER, submitter), 1),
        ]


@dataclass(slots=True)
class Free:
    """What a worker has left."""

    slots: int
    cpus: float
    memory_mb: int
    gpus: int

    @classmethod
    def of(cls, worker: Worker, held: Mapping[int, int], classes: Mapping[int, TaskClass]) -> "Free":
        """All of *worker* minus what its *held* attempts (class -> how many) take."""
        free = cls(worker.slots, worker.cpus, worker.memory_mb, worker.gpus)
        for class_id, count in held.items():
            free.take(classes[class_id], count)
        return free

    def take(self, need: TaskClass, count: int = 1) -> None:
        """Give *count* times *need* away."""
        self.slots -= need.slots * count
        self.cpus -= need.cpus * count
        self.memory_mb -= need.memory_mb * count
        self.gpus -= need.gpus * count

    def fits(self, need: TaskClass) -> int:
        """How many times *need* fits."""
        room = self.slots // need.slots
        if need.cpus:
            room = min(room, int((self.cpus + 1e-9) // need.cpus))
        if need.memory_mb:
            room = min(room, self.memory_mb // need.memory_mb)
        if need.gpus:
            room = min(room, self.gpus // need.gpus)
        return max(0, room)


@dataclass(frozen=True, slots=True)
class Group:
    """The ready tasks of one job and one class, what each claims of which budgets, and who holds them back."""

    id: int
    job_id: int
    class_id: int
    job_priority: int
    ready: int
    canceling: bool = False
    submitter: str = ""
    job_limit: int | None = None
    hold: Hold | None = None
    claims: Claims = ()
    #: Workers that get no more tasks of this kind in this job.
    blocked: frozenset[str] = frozenset()


def misfits(worker: Worker, need: TaskClass) -> Iterator[Reason]:
    """Why *worker* could not run tasks of this class, were it free and awake: all that it lacks."""
    if need.queue not in worker.queues:
        yield Reason.NO_QUEUE
    if need.kind not in worker.kinds:
        yield Reason.NO_KIND
    if need.zone is not None and need.zone != worker.zone:
        yield Reason.NO_ZONE
    if not need.tags.issubset(worker.tags):
        yield Reason.NO_TAG
    if not has_labels(worker, need.labels):
        yield Reason.NO_LABEL
    if need.exclusive and not is_native(worker):
        yield Reason.NO_LEASE
    elif not need.exclusive.issubset(worker.supervises):
        yield Reason.NO_SUPERVISOR
    yield from _unserved(worker, need)
    if not Free(worker.slots, worker.cpus, worker.memory_mb, worker.gpus).fits(need):
        yield Reason.TOO_BIG


def _unserved(worker: Worker, need: TaskClass) -> Iterator[Reason]:
    """What tasks ask for by name, and a worker that says what it has has not."""
    if worker.runners is not None and not need.runners.issubset(worker.runners):
        yield Reason.NO_RUNNER
    if worker.secrets is not None and not need.secrets.issubset(worker.secrets):
        yield Reason.NO_SECRET
    if worker.enforces is not None and not need.limits.issubset(worker.enforces):
        yield Reason.NO_LIMIT


def eligible(worker: Worker, need: TaskClass) -> bool:
    """Whether *worker* could run tasks of this class at all, were it free and awake: nothing in `misfits`."""
    return next(misfits(worker, need), None) is None


def reserved(worker: Worker, need: TaskClass) -> Iterator[Reason]:
    """Why a worker that takes work is kept for other tasks: one that is tested takes only those that name it."""
    if worker.duty is Duty.TESTING and not is_named(worker, need.labels):
        yield Reason.TESTING


def could_take(worker: Worker, need: TaskClass) -> bool:
    """Whether it takes tasks of this class just now, be it full."""
    return takes_work(worker) and eligible(worker, need) and next(reserved(worker, need), None) is None


def shortage(free: Free, need: TaskClass) -> Iterator[Reason]:
    """Why what is left on a worker is not enough: it has room exactly when `Free.fits` says so."""
    if free.slots < need.slots:
        yield Reason.BUSY
    elif not free.fits(need):
        yield Reason.RESOURCES


def withheld(group: Group, budgets: Budgets) -> Iterator[Found]:
    """Why the tasks of a group are passed over, whoever may be free."""
    if group.canceling:
        yield Found(Reason.CANCELING, {"job": group.job_id})
    if group.hold is not None:
        yield group.hold.found
    for exhausted in budgets.exhausted(group.claims):
        yield exhausted.found


def averse(
    worker: Worker,
    need: TaskClass,
    failed_on: Collection[str],
    everyone: Iterable[Worker],
    blocked: Collection[str] = frozenset(),
) -> Iterator[Reason]:
    """Why this worker is not to have a task: *blocked* for its group, or *failed_on* it and another one can try."""
    if worker.id in blocked:
        yield Reason.BLOCKED
    if worker.id in failed_on and any(
        other.id not in failed_on and other.id not in blocked and could_take(other, need) for other in everyone
    ):
        yield Reason.FAILED_HERE


@dataclass(slots=True)
class Offer:
    """A worker that takes work, what it has left, and the classes it is eligible for, queue by queue."""

    worker: Worker
    free: Free
    by_queue: list[list[TaskClass]] = field(default_factory=list)


def offers(workers: Iterable[tuple[Worker, Free]], classes: Iterable[TaskClass]) -> list[Offer]:
    """The workers that could take a task of one of these classes now."""
    wanted = list(classes)
    found = []
    for worker, free in workers:
        if not takes_work(worker) or free.slots <= 0:
            continue
        fitting = [
            need
            for need in wanted
            if free.fits(need) and eligible(worker, need) and next(reserved(worker, need), None) is None
        ]
        if fitting:
            by_queue = [[need for need in fitting if need.queue == queue] for queue in worker.queues]
            found.append(Offer(worker, free, [needs for needs in by_queue if needs]))
    return found


def place(
    offered: Sequence[Offer],
    candidates: Iterable[Candidate],
    everyone: Sequence[Worker],
    groups: Iterable[Group] = (),
    budgets: Budgets | None = None,
    shares: Shares | None = None,
) -> list[tuple[Worker, Candidate]]:
    """Pairs of worker and task, best tasks first; takes what is given from the offers' `free` and from the budgets.

    *everyone* are all workers that take work: they decide whether another one could run a task that failed here.
    *shares* are None where fair share is off.
    """
    groups = list(groups)
    known = {group.id: (group.submitter, group.claims) for group in groups}
    blocked = {group.id: group.blocked for group in groups if group.blocked}
    waiting = Lanes(lanes_of(candidates, known), budgets or Budgets(), shares)
    placed: list[tuple[Worker, Candidate]] = []
    heap = [(-offer.free.slots, offer.worker.id, offer) for offer in offered]
    heapify(heap)
    while heap and len(placed) < MOST_PLACED:
        _, name, offer = heap[0]
        chosen = _best(offer, waiting, everyone, blocked)
        if chosen is None:
            heappop(heap)
            continue
        need, found = chosen
        offer.free.take(need)
        placed.append((offer.worker, waiting.take(found, need.slots)))
        heapreplace(heap, (-offer.free.slots, name, offer))
    return placed


def _best(
    offer: Offer, waiting: Lanes, everyone: Sequence[Worker], blocked: Mapping[int, Collection[str]]
) -> tuple[TaskClass, First] | None:
    """The first task in the worker's order that fits what it has left."""
    for needs in offer.by_queue:
        best: tuple[TaskClass, First] | None = None
        for need in needs:
            if not offer.free.fits(need):
                continue
            found = waiting.first(need.id, need.queue, partial(_may_have, offer.worker, need, everyone, blocked))
            if found is not None and (best is None or found.order < best[1].order):
                best = (need, found)
        if best is not None:
            return best
    return None


def _may_have(
    worker: Worker,
    need: TaskClass,
    everyone: Sequence[Worker],
    blocked: Mapping[int, Collection[str]],
    candidate: Candidate,
) -> bool:
    """Whether *worker* may have the task."""
    failed_on, shut = candidate.failed_on, blocked.get(candidate.group_id, ())
    return not (failed_on or shut) or next(averse(worker, need, failed_on, everyone, shut), None) is None
