"""The tasks that may be placed now, in their order: a lane for each group, so that a limit closes a lane at once.

Order within a queue: job priority, then the submitter's share where fair share is on, then task priority, then age.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heapreplace

from coordinator.domain.budget import Budgets, Claims, Shares


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready task that may be placed now."""

    task_id: int
    class_id: int
    job_priority: int
    priority: int
    failed_on: frozenset[str] = frozenset()
    group_id: int = 0

    @property
    def rank(self) -> tuple[int, int, int]:
        """Its place among the tasks of its queue; smaller is sooner."""
        return (-self.job_priority, -self.priority, self.task_id)


@dataclass(slots=True)
class Lane:
    """The candidates of one group, the best last."""

    group_id: int
    submitter: str
    claims: Claims
    tasks: list[Candidate] = field(default_factory=list)


#: Job priority, share and turn of the submitter, task priority, age; smaller is sooner.
Order = tuple[int, tuple[float, int], int, int]
_Heap = list[tuple[tuple[int, int, int], Lane]]


@dataclass(slots=True)
class First:
    """A candidate that stands first, and where."""

    order: Order
    lane: Lane
    index: int
    heap: _Heap
    queue: str

    @property
    def candidate(self) -> Candidate:
        """The task itself."""
        return self.lane.tasks[self.index]


class Lanes:
    """All candidates, by class and submitter. Tasks whose lane a limit has closed are out."""

    def __init__(self, lanes: Iterable[Lane], budgets: Budgets, shares: Shares | None) -> None:
        self._budgets = budgets
        self._shares = shares
        self._by_class: dict[int, dict[str, _Heap]] = {}
        for lane in lanes:
            lane.tasks.sort(key=lambda one: one.rank, reverse=True)
            best = lane.tasks[-1]
            heaps = self._by_class.setdefault(best.class_id, {})
            heaps.setdefault(lane.submitter if shares else "", []).append((best.rank, lane))
        for heaps in self._by_class.values():
            for heap in heaps.values():
                heapify(heap)

    def first(self, class_id: int, queue: str, allowed: Callable[[Candidate], bool]) -> First | None:
        """The first *allowed* task of a class in *queue*."""
        best: First | None = None
        for submitter, heap in self._by_class.get(class_id, {}).items():
            while heap and not self._budgets.met(heap[0][1].claims):
                heappop(heap)
            found = self._first_of(submitter, heap, queue, allowed) if heap else None
            if found is not None and (best is None or found.order < best.order):
                best = found
        return best

    def _first_of(self, submitter: str, heap: _Heap, queue: str, allowed: Callable[[Candidate], bool]) -> First | None:
        lane, index = heap[0][1], len(heap[0][1].tasks) - 1
        if not allowed(lane.tasks[index]):
            places = [
                (one, place)
                for _, one in heap
                if self._budgets.met(one.claims)
                for place in _first_allowed(one.tasks, allowed)
            ]
            if not places:
                return None
            lane, index = min(places, key=lambda place: place[0].tasks[place[1]].rank)
        job, task, age = lane.tasks[index].rank
        share = self._shares.share(queue, submitter) if self._shares else (0.0, 0)
        return First((job, share, task, age), lane, index, heap, queue)

    def take(self, found: First, slots: int) -> Candidate:
        """Take what was *found* out, with what it claims and the *slots* that its submitter holds by it."""
        lane = found.lane
        candidate = lane.tasks.pop(found.index)
        self._budgets.take(lane.claims)
        if self._shares:
            self._shares.take(found.queue, lane.submitter, slots)
        if found.heap[0][1] is lane:
            if lane.tasks:
                heapreplace(found.heap, (lane.tasks[-1].rank, lane))
            else:
                heappop(found.heap)
        elif not lane.tasks:
            found.heap[:] = [entry for entry in found.heap if entry[1] is not lane]
            heapify(found.heap)
        return candidate


def lanes_of(candidates: Iterable[Candidate], groups: Mapping[int, tuple[str, Claims]]) -> list[Lane]:
    """The candidates by group; *groups* says whose each is and what it claims."""
    lanes: dict[tuple[int, int], Lane] = {}
    for one in candidates:
        key = (one.group_id, one.class_id)
        if key not in lanes:
            lanes[key] = Lane(one.group_id, *groups.get(one.group_id, ("", ())))
        lanes[key].tasks.append(one)
    return list(lanes.values())


def _first_allowed(tasks: list[Candidate], allowed: Callable[[Candidate], bool]) -> Iterator[int]:
    """Where the best allowed task stands, if there is one."""
    for index in range(len(tasks) - 1, -1, -1):
        if allowed(tasks[index]):
            yield index
            return
