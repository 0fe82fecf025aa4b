"""Blocklists: what the failures of a transaction say of workers, who is blocked and unblocked, by rule and by people.

Marks are loaded only when a task has failed, or a job with blocked workers has work: nobody else pays for the rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from coordinator.domain.blocklist import Mark, MarkKey, is_stranded, to_be_blocked
from coordinator.domain.matching import Group, TaskClass
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Entry
from coordinator.operations.requests import Changed, ConflictError, NotFoundError, UnblockWorkers
from coordinator.operations.store import Transaction


async def settle(tx: Transaction, ledger: Ledger) -> None:
    """Add the failures of this transaction to the marks, and judge the jobs and kinds that they concern."""
    if not ledger.accusations:
        return
    jobs = {one.job_id for one in ledger.accusations}
    await tx.load_marks(ledger, jobs)
    classes = await tx.classes_of_jobs(jobs)
    kinds = await tx.classes({one.class_id for one in ledger.accusations})
    for job_id, kind in sorted(_accuse(ledger, kinds)):
        same = [need for need in classes[job_id] if need.kind == kind]
        await _judge(tx, ledger, job_id, kind, same)
    ledger.accusations.clear()


def _accuse(ledger: Ledger, classes: Mapping[int, TaskClass]) -> set[tuple[int, str]]:
    """Count; the jobs and kinds that are concerned."""
    touched = set()
    for one in ledger.accusations:
        kind = classes[one.class_id].kind
        key = MarkKey(one.job_id, kind, one.worker_id)
        mark = ledger.marks.get(key)
        if mark is None:
            mark = ledger.marks[key] = Mark(*key)
        mark.failures = max(0, mark.failures + one.delta)
        if one.delta > 0:
            mark.failed_at = ledger.now
            ledger.suspects.add(one.worker_id)
        ledger.dirty_marks.add(key)
        touched.add((one.job_id, kind))
    return touched


async def _judge(tx: Transaction, ledger: Ledger, job_id: int, kind: str, classes: Sequence[TaskClass]) -> None:
    block_after = ledger.jobs[job_id].policy.block_after
    marks = {mark.worker_id: mark for mark in ledger.marks.values() if (mark.job_id, mark.kind) == (job_id, kind)}
    if not any(mark.blocked_at or 0 < block_after <= mark.failures for mark in marks.values()):
        return
    workers = await tx.workers_here()
    for mark in sorted(marks.values(), key=lambda one: (-one.failures, one.worker_id)):
        wanted = to_be_blocked(mark, marks, workers, classes, block_after)
        if wanted and mark.blocked_at is None:
            mark.blocked_at = ledger.now
            _note(ledger, mark, "worker.blocked", None, f"failed {mark.failures} tasks of kind {kind}")
        elif mark.blocked_at is not None and not wanted:
            unblock(ledger, mark, actor=None, reason="it fails no more than the others")


def unblock(ledger: Ledger, mark: Mark, *, actor: str | None, reason: str | None, forgive: bool = False) -> None:
    """The worker may have tasks of the kind again; *forgive* what stands against it, too."""
    mark.blocked_at = None
    if forgive:
        mark.failures = 0
    ledger.capacity_at.add(mark.worker_id)
    ledger.work_appeared = True
    _note(ledger, mark, "worker.unblocked", actor, reason)


def _note(ledger: Ledger, mark: Mark, event: str, actor: str | None, reason: str | None) -> None:
    """A row in the job's story and in the worker's."""
    detail = {"kind": mark.kind, "reason": reason}
    ledger.history.append(Entry(event, mark.job_id, None, None, mark.worker_id, actor, detail))
    ledger.dirty_marks.add(mark.key)


async def lift_stranded(
    tx: Transaction, ledger: Ledger, groups: Sequence[Group], classes: dict[int, TaskClass]
) -> list[Group]:
    """*groups* with ready work; where nobody is left but blocked workers, they are unblocked."""
    workers = await tx.workers_here()
    stranded = {
        (group.job_id, classes[group.class_id].kind)
        for group in groups
        if group.blocked and is_stranded(classes[group.class_id], group.blocked, workers)
    }
    if not stranded:
        return list(groups)
    await tx.load_marks(ledger, {job_id for job_id, _ in stranded})
    for mark in ledger.marks.values():
        if mark.blocked_at is not None and (mark.job_id, mark.kind) in stranded:
            unblock(ledger, mark, actor=None, reason="no other worker is left that could do it", forgive=True)
    return [
        replace(group, blocked=frozenset()) if (group.job_id, classes[group.class_id].kind) in stranded else group
        for group in groups
    ]


def unblock_workers(ledger: Ledger, request: UnblockWorkers) -> Changed:
    """People unblock workers: what stood against them is forgiven."""
    if request.job not in ledger.jobs:
        raise NotFoundError(f"there is no job {request.job}")
    there = [mark for mark in ledger.marks.values() if mark.job_id == request.job and mark.blocked_at is not None]
    named = [mark for mark in there if not request.workers or mark.worker_id in request.workers]
    found = [mark for mark in named if request.kind is None or mark.kind == request.kind]
    missing = sorted(set(request.workers) - {mark.worker_id for mark in found})
    if missing:
        raise ConflictError(f"worker {missing[0]} is not blocked in job {request.job}; nothing was changed")
    for mark in found:
        unblock(ledger, mark, actor=request.actor, reason=request.reason, forgive=True)
    return Changed(len(found))
