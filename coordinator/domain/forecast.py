"""What a task may expect: when something ends, guessed from how long others like it took, and who comes before it.

No guess is made from too few. Of an attempt that has run for *t*, the rest is what those that took longer than *t* took
beyond it, at the median (its mean residual life, with the median for the mean): it never says that an attempt should
have ended already, and nothing once it has run longer than all others.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from coordinator.domain.budget import Budgets
from coordinator.domain.matching import Free, Group, TaskClass, misfits, withheld
from coordinator.domain.worker import Worker

#: From fewer durations nothing is guessed, and from fewer nothing is called unusual.
FEWEST: Final = 5
FEWEST_USUAL: Final = 20
#: What so large a share of tasks stays below is usual.
USUAL: Final = 0.95


@dataclass(frozen=True, slots=True)
class Running:
    """An attempt that runs on a worker since so many seconds, of which class and group."""

    worker: str
    class_id: int
    group: int
    seconds: float


def rest_s(took: Sequence[float], seconds: float) -> float | None:
    """How long something that runs for *seconds* goes on, where others *took* so long."""
    longer = [one - seconds for one in took if one > seconds]
    return median(longer) if len(took) >= FEWEST and longer else None


def usual_s(took: Sequence[float]) -> float | None:
    """What 95 % of those that *took* so long stayed below."""
    return sorted(took)[int(len(took) * USUAL)] if len(took) >= FEWEST_USUAL else None


def next_room_s(
    need: TaskClass,
    workers: Iterable[tuple[Worker, Free]],
    running: Iterable[Running],
    classes: Mapping[int, TaskClass],
    took: Mapping[int, Sequence[float]],
) -> float | None:
    """Seconds until an attempt that is *running* on one of *workers* makes room for *need* there, the first of those
    of which it can be guessed. *took* is by group."""
    free = {worker.id: left for worker, left in workers}
    rests = []
    for one in running:
        if one.worker not in free:
            continue
        without = replace(free[one.worker])
        without.take(classes[one.class_id], -1)
        rest = rest_s(took.get(one.group, ()), one.seconds)
        if rest is not None and without.fits(need):
            rests.append(rest)
    return min(rests, default=None)


def before(
    own: Group,
    groups: Iterable[Group],
    classes: Mapping[int, TaskClass],
    workers: Sequence[Worker],
    budgets: Budgets,
    *,
    fair: bool,
) -> int:
    """How many ready tasks of other groups at most are given away before those of *own* on some of the *workers* that
    could run both. With *fair* share, jobs of equal priority take turns, and none is before another."""
    count = 0
    for group in groups:
        if group.id != own.id and next(withheld(group, budgets), None) is None:
            first = _is_first(group, own, fair=fair)
            pair = classes[group.class_id], classes[own.class_id]
            if any(
                _comes_first(worker, *pair, equal_queue=first) for worker in workers if worker.id not in group.blocked
            ):
                count += group.ready
    return count


def _is_first(group: Group, own: Group, *, fair: bool) -> bool:
    if group.job_priority != own.job_priority or fair:
        return group.job_priority > own.job_priority
    return group.id < own.id


def _comes_first(worker: Worker, need: TaskClass, own: TaskClass, *, equal_queue: bool) -> bool:
    """Whether *worker* would take tasks of class *need* first: its queues have an order."""
    if next(misfits(worker, need), None) is not None or own.queue not in worker.queues:
        return False
    places = worker.queues.index(need.queue), worker.queues.index(own.queue)
    return equal_queue if places[0] == places[1] else places[0] < places[1]
