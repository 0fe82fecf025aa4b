"""Assignment: in the same transaction as the event that made it possible.

Groups (a few rows) are chosen first, then the best tasks of each by an index: the cost depends on the number of groups
with work, not on the number of waiting tasks. What is held elsewhere is asked for only when a limit or fair share
needs to know.
"""

from typing import NamedTuple

from coordinator.domain.attempt import Attempt, AttemptState
from coordinator.domain.budget import Budgets, Rules, Shares
from coordinator.domain.limits import Held, budgets_of, contended, freed_by, restricted, shares_of
from coordinator.domain.matching import Candidate, Free, Group, TaskClass, offers, place, withheld
from coordinator.domain.planning import plan
from coordinator.domain.worker import Worker
from coordinator.operations import blocklist
from coordinator.operations.claiming import as_asked, gets_now
from coordinator.operations.ledger import Ledger
from coordinator.operations.store import Transaction


class Survey(NamedTuple):
    """What there is to give away, and what is left of the limits."""

    groups: list[Group]
    classes: dict[int, TaskClass]
    budgets: Budgets
    #: Whose turn it is; None where fair share decides nothing.
    shares: Shares | None


async def survey(tx: Transaction, ledger: Ledger) -> Survey:
    """The groups with ready tasks, with what each claims of which limits."""
    groups = await tx.groups_with_work()
    classes = await tx.classes({group.class_id for group in groups}) if groups else {}
    if any(group.blocked for group in groups):
        groups = await blocklist.lift_stranded(tx, ledger, groups, classes)
    rules = await tx.rules()
    groups = restricted(groups, classes, rules)
    return Survey(groups, classes, *await _in_use(tx, ledger, groups, classes, rules))


async def assign(tx: Transaction, ledger: Ledger) -> bool:
    """Give ready tasks to workers that take work; whether anything is to be saved. What the transaction changed so far
    is saved already."""
    groups, classes, budgets, shares = await survey(tx, ledger)
    if not groups:
        return False
    if all(next(withheld(group, budgets), None) for group in groups):
        return bool(ledger.dirty_marks)
    reopened = await _reopened(tx, ledger, budgets, groups)
    names = None if ledger.work_appeared or reopened else ledger.capacity_at
    workers = await tx.workers_with_load(names)
    held = await tx.classes({class_id for _, load in workers for class_id in load})
    offered = offers(
        (
            (as_asked(ledger, worker), Free.of(worker, load, held))
            for worker, load in workers
            if gets_now(ledger, worker)
        ),
        classes.values(),
    )
    looks = plan(groups, offered, budgets, fair=shares is not None).looks
    if not looks:
        return bool(ledger.dirty_marks)
    candidates = await tx.ready_tasks(ledger, looks)
    everyone = await _everyone(tx, candidates, [worker for worker, _ in workers], complete=names is None)
    placed = place(offered, candidates, everyone, groups, budgets, shares)
    for worker, candidate in placed:
        _give(ledger, worker, candidate, classes[candidate.class_id])
    if shares is not None:
        ledger.ruling.turns |= shares.served
    return bool(placed or ledger.dirty_marks)


async def _in_use(
    tx: Transaction, ledger: Ledger, groups: list[Group], classes: dict[int, TaskClass], rules: Rules
) -> tuple[Budgets, Shares | None]:
    """What is left of the limits, and whose turn it is; the farm is asked only when somebody's claim depends on it."""
    compared = rules.fair and contended(groups, classes)
    if not compared and not any(group.claims for group in groups):
        return Budgets(), None
    held = await tx.held(ledger)
    known = await tx.classes({one.class_id for one in held})
    budgets = budgets_of(groups, held, known, rules)
    return budgets, shares_of(held, known, rules, await tx.turns()) if compared else None


async def _reopened(tx: Transaction, ledger: Ledger, budgets: Budgets, groups: list[Group]) -> bool:
    """Whether what ended here has opened a limit: then others than the workers that were freed may be next."""
    claims = [group.claims for group in groups if group.claims]
    if ledger.work_appeared or not claims or not ledger.ruling.ended_in:
        return False
    ended = []
    for group_id, count in ledger.ruling.ended_in.items():
        row = ledger.groups[group_id]
        ended.append(Held(row.class_id, ledger.jobs[row.job_id].submitter, row.job_id, count))
    return budgets.reopened(freed_by(ended, await tx.classes({one.class_id for one in ended})), claims)


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
