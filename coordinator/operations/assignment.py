"""Assignment: in the same transaction as the event that made it possible.

Groups (a few rows) are chosen first, then the best tasks of each by an index: the cost depends on the number of groups
with work, not on the number of waiting tasks.
"""

from typing import NamedTuple

from coordinator.domain.attempt import Attempt, AttemptState
from coordinator.domain.budget import Budgets
from coordinator.domain.matching import Candidate, Free, Group, TaskClass, offers, place
from coordinator.domain.planning import plan
from coordinator.domain.worker import Worker
from coordinator.operations import blocklist
from coordinator.operations.ledger import Ledger
from coordinator.operations.store import Transaction


class Survey(NamedTuple):
    """What there is to give away, and what is left of the limits."""

    groups: list[Group]
    classes: dict[int, TaskClass]
    budgets: Budgets


async def survey(tx: Transaction, ledger: Ledger) -> Survey:
    """The groups with ready tasks, with what each claims of which limits."""
    groups = await tx.groups_with_work()
    classes = await tx.classes({group.class_id for group in groups}) if groups else {}
    if any(group.blocked for group in groups):
        groups = await blocklist.lift_stranded(tx, ledger, groups, classes)
    return Survey(groups, classes, Budgets())


async def assign(tx: Transaction, ledger: Ledger) -> bool:
    """Give ready tasks to workers that take work; whether anything is to be saved. What the transaction changed so far
    is saved already."""
    groups, classes, budgets = await survey(tx, ledger)
    if not groups:
        return False
    names = None if ledger.work_appeared else ledger.capacity_at
    workers = await tx.workers_with_load(names)
    held = await tx.classes({class_id for _, load in workers for class_id in load})
    offered = offers(
        ((worker, Free.of(worker, load, held)) for worker, load in workers),
        classes.values(),
    )
    looks = plan(groups, offered, budgets).looks
    if not looks:
        return bool(ledger.dirty_marks)
    candidates = await tx.ready_tasks(ledger, looks)
    everyone = await _everyone(tx, candidates, [worker for worker, _ in workers], complete=names is None)
    placed = place(offered, candidates, everyone, groups, budgets)
    for worker, candidate in placed:
        _give(ledger, worker, candidate, classes[candidate.class_id])
    return bool(placed or ledger.dirty_marks)


async def _everyone(
    tx: Transaction, candidates: list[Candidate], workers: list[Worker], *, complete: bool
) -> list[Worker]:
    """All workers that take work, looked up only if some candidate has failed somewhere."""
    if complete or not any(candidate.failed_on for candidate in candidates):
        return workers
    return [worker for worker, _ in await tx.workers_with_load(None)]


def _give(ledger: Ledger, worker: Worker, candidate: Candidate, need: TaskClass) -> None:
    task = ledger.tasks[candidate.task_id]
    attempt = Attempt(
        task_id=task.id,
        attempt=task.attempt + 1,
        run=task.run,
        class_id=candidate.class_id,
        worker_id=worker.id,
        epoch=worker.epoch,
        state=AttemptState.ASSIGNED,
        assigned_at=ledger.now,
        sent_at=ledger.now,
    )
    ledger.give(task, attempt, need.queue)
    if need.exclusive:
        ledger.leases.lend(attempt)
    ledger.outgoing.assigned[worker.id].append(attempt)
    ledger.note_task("task.assigned", task, attempt=attempt)
