"""Which worker gets which task. Push to agents and pull by foreign protocols use this one function.

A worker serves its queues in order: whatever waits in the first comes before all in the second. Within a queue: job
priority, task priority, age. Work spreads: the worker with most free slots is next. A task goes to a worker that
failed it before only when no other can run it.

Each rule is a `yield` in one of the generators here: `misfits` (a worker and a class), `shortage` (what is left on it),
`withheld` (a group), `averse` (a worker and a task), and `worker.unwilling`. Assignment asks whether there is any
reason, `explain` asks for all of them; so both always say the same.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace
from typing import Final

from coordinator.domain.why import Reason
from coordinator.domain.worker import Worker, takes_work

#: As many tasks are placed in one go, at most; the rest follows at once in the next transaction.
MOST_PLACED: Final = 2000
#: As many groups of equal job priority are compared, at most (oldest jobs first).
MOST_GROUPS: Final = 200


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
    """The ready tasks of one job and one class."""

    id: int
    job_id: int
    class_id: int
    job_priority: int
    ready: int
    canceling: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready task that may be placed now."""

    task_id: int
    class_id: int
    job_priority: int
    priority: int
    failed_on: frozenset[str] = frozenset()

    @property
    def rank(self) -> tuple[int, int, int]:
        """Its place among the tasks of its queue; smaller is sooner."""
        return (-self.job_priority, -self.priority, self.task_id)


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
    if not need.labels.issubset(worker.labels):
        yield Reason.NO_LABEL
    if not Free(worker.slots, worker.cpus, worker.memory_mb, worker.gpus).fits(need):
        yield Reason.TOO_BIG


def eligible(worker: Worker, need: TaskClass) -> bool:
    """Whether *worker* could run tasks of this class at all, were it free and awake: nothing in `misfits`."""
    return next(misfits(worker, need), None) is None


def shortage(free: Free, need: TaskClass) -> Iterator[Reason]:
    """Why what is left on a worker is not enough: it has room exactly when `Free.fits` says so."""
    if free.slots < need.slots:
        yield Reason.BUSY
    elif not free.fits(need):
        yield Reason.RESOURCES


def withheld(group: Group) -> Iterator[Reason]:
    """Why the tasks of a group are passed over, whoever may be free."""
    if group.canceling:
        yield Reason.CANCELING


def averse(worker: Worker, need: TaskClass, failed_on: Collection[str], everyone: Iterable[Worker]) -> Iterator[Reason]:
    """Why this worker is not to have a task that *failed_on* some: it did there, and another one can try."""
    if worker.id in failed_on and any(
        other.id not in failed_on and takes_work(other) and eligible(other, need) for other in everyone
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
        fitting = [need for need in wanted if free.fits(need) and eligible(worker, need)]
        if fitting:
            by_queue = [[need for need in fitting if need.queue == queue] for queue in worker.queues]
            found.append(Offer(worker, free, [needs for needs in by_queue if needs]))
    return found


def plan(groups: Iterable[Group], offered: Sequence[Offer], *, most: int = MOST_PLACED) -> dict[int, int]:
    """Of which groups to look at how many tasks (group -> count) so that *offered* can be filled in the right order.

    Per class: whole bands of equal job priority until they hold as many tasks as could be placed.
    """
    room: dict[int, int] = {}
    for offer in offered:
        for need in (need for needs in offer.by_queue for need in needs):
            room[need.id] = min(most, room.get(need.id, 0) + offer.free.fits(need))
    by_class: dict[int, list[Group]] = {}
    for group in groups:
        if group.ready > 0 and group.class_id in room and next(withheld(group), None) is None:
            by_class.setdefault(group.class_id, []).append(group)
    looks: dict[int, int] = {}
    for class_id, candidates in by_class.items():
        candidates.sort(key=lambda group: (-group.job_priority, group.id))
        waiting, band = 0, None
        for group in candidates[:MOST_GROUPS]:
            if waiting >= room[class_id] and group.job_priority != band:
                break
            band = group.job_priority
            waiting += group.ready
            looks[group.id] = min(group.ready, room[class_id])
    return looks


def place(
    offered: Sequence[Offer], candidates: Iterable[Candidate], everyone: Sequence[Worker]
) -> list[tuple[Worker, Candidate]]:
    """Pairs of worker and task, best tasks first; takes what is given from the offers' `free`.

    *everyone* are all workers that take work: they decide whether another one could run a task that failed here.
    """
    waiting: dict[int, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.rank, reverse=True):
        waiting.setdefault(candidate.class_id, []).append(candidate)  # the best is last
    placed: list[tuple[Worker, Candidate]] = []
    heap = [(-offer.free.slots, offer.worker.id, offer) for offer in offered]
    heapify(heap)
    while heap and len(placed) < MOST_PLACED:
        _, name, offer = heap[0]
        chosen = _best(offer, waiting, everyone)
        if chosen is None:
            heappop(heap)
            continue
        need, candidate = chosen
        offer.free.take(need)
        placed.append((offer.worker, candidate))
        heapreplace(heap, (-offer.free.slots, name, offer))
    return placed


def _best(
    offer: Offer, waiting: Mapping[int, list[Candidate]], everyone: Sequence[Worker]
) -> tuple[TaskClass, Candidate] | None:
    """The first task in the worker's order that fits what it has left, taken out of *waiting*."""
    for needs in offer.by_queue:
        best: tuple[TaskClass, int] | None = None
        for need in needs:
            queue = waiting.get(need.id)
            if not queue or not offer.free.fits(need):
                continue
            index = _first_allowed(queue, offer.worker, need, everyone)
            if index is not None and (best is None or queue[index].rank < waiting[best[0].id][best[1]].rank):
                best = (need, index)
        if best is not None:
            return best[0], waiting[best[0].id].pop(best[1])
    return None


def _first_allowed(
    queue: Sequence[Candidate], worker: Worker, need: TaskClass, everyone: Sequence[Worker]
) -> int | None:
    """Where the best task in *queue* (best last) stands that this worker may have."""
    for index in range(len(queue) - 1, -1, -1):
        failed_on = queue[index].failed_on
        if not failed_on or next(averse(worker, need, failed_on, everyone), None) is None:
            return index
    return None
