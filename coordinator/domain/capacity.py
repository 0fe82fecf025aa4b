"""How many workers the waiting tasks could use beyond those that are there, and which could be stopped without loss.

By the rules that assign: what is paused or at a limit could use nobody; whoever is eligible counts for a class.
A worker can be stopped when it is idle, nothing that waits could run on it now, and for each sort of task of unfinished
jobs that it could run another worker stays.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low

from coordinator.domain.budget import Budgets
from coordinator.domain.matching import Free, Group, TaskClass, could_take, eligible, withheld
from coordinator.domain.worker import Duty, Worker


@dataclass(frozen=True, slots=True)
class Wanted:
    """Workers that tasks of one class could use.

    `waiting` tasks, of which `starting` find room on what is there. The other ones would fill `workers` more, each
    with `per_worker` of them. `capable` workers of the farm could run such tasks at all; `asleep` of these could be
    woken instead.
    """

    need: TaskClass
    waiting: int
    starting: int
    per_worker: int
    workers: int
    capable: int
    asleep: tuple[str, ...]


def demand(groups: Iterable[Group], budgets: Budgets) -> dict[int, int]:
    """Class -> how many of its ready tasks may run, were there workers. Takes from *budgets* what they claim."""
    found: dict[int, int] = {}
    for group in sorted(groups, key=lambda group: (-group.job_priority, group.id)):
        if next(withheld(group, budgets), None) is not None:
            continue
        room = budgets.room(group.claims)
        count = group.ready if room is None else min(group.ready, room)
        budgets.take(tuple((key, amount * count) for key, amount in group.claims))
        found[group.class_id] = found.get(group.class_id, 0) + count
    return found


def wanted(
    waiting: Mapping[int, int], starting: Mapping[int, int], classes: Mapping[int, TaskClass], workers: Sequence[Worker]
) -> list[Wanted]:
    """What tasks (class -> how many wait, how many of them are placed next) could use; the most wanted first."""
    found = []
    for class_id, count in waiting.items():
        need = classes[class_id]
        capable = [worker for worker in workers if eligible(worker, need)]
        soon = min(count, starting.get(class_id, 0))
        per_worker = fitting(need, capable or workers)
        more = -(-(count - soon) // per_worker)
        asleep = tuple(worker.id for worker in capable if worker.duty is Duty.ASLEEP)
        found.append(Wanted(need, count, soon, per_worker, more, len(capable), asleep))
    return sorted(found, key=lambda one: (-one.workers, one.need.id))


def fitting(need: TaskClass, workers: Iterable[Worker]) -> int:
    """How many tasks of this class a usual worker among *workers* takes (the median); 1 when none of them is known."""
    rooms = [Free(one.slots, one.cpus, one.memory_mb, one.gpus).fits(need) for one in workers]
    return median_low(sorted(filter(None, rooms)) or [1])


def stoppable(
    idle: Collection[str], workers: Sequence[Worker], unfinished: Collection[TaskClass], unserved: Collection[TaskClass]
) -> list[str]:
    """Workers that could be stopped, all of them together.

    *idle* hold nothing and nobody uses them; *unfinished* are the classes of jobs that go on, *unserved* those of which
    tasks wait that may run now.
    """
    staying = [worker for worker in workers if any(could_take(worker, need) for need in unfinished)]
    found = []
    for worker in workers:
        if worker.id not in idle or any(could_take(worker, need) for need in unserved):
            continue
        others = [other for other in staying if other.id != worker.id]
        mine = [need for need in unfinished if could_take(worker, need)]
        if all(any(could_take(other, need) for other in others) for need in mine):
            found.append(worker.id)
            staying = others
    return found
