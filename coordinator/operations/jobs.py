"""What happens to jobs: grown in slices, canceled, requeued.

A submission is checked and drafted (`submission`); storage gives it its numbers; then its tasks are made, at most a
slice of them in one transaction. A large cancel goes in slices too: the job says what is left to do, so that any
coordinator can go on.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from coordinator.domain.job import Job, JobState
from coordinator.domain.task import FINISHED, Task, TaskState
from coordinator.domain.times import first_state, missed
from coordinator.operations import tasks
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Dependent, GroupRow
from coordinator.operations.requests import (
    CancelJob,
    Changed,
    ConflictError,
    NotFoundError,
    RequeueFailed,
)
from coordinator.operations.submission import SpecRow

#: Rows of tasks and dependencies that one transaction makes or moves, about.
SLICE: Final = 5000
UNFINISHED: Final = frozenset(TaskState) - FINISHED


@dataclass
class Growing:
    """A job that has not all its tasks yet, and the specs of the next ones. `met` are tasks that are there already:
    accepted, or (in `met_promoted`) promoted."""

    job: Job
    specs: list[SpecRow]
    met: set[int] = field(default_factory=set)
    met_promoted: set[int] = field(default_factory=set)


@dataclass
class Grown:
    """Rows to be made."""

    tasks: list[Task] = field(default_factory=list)
    dependencies: list[tuple[int, Dependent]] = field(default_factory=list)


def grow(ledger: Ledger, growing: Growing) -> Grown:
    """The next slice of a job's tasks; canceled at once when the job was."""
    job, grown = growing.job, Grown()
    first = job.first_task + job.expanded - job.spawned
    for row, task_id in _next_tasks(growing, first):
        unmet = 0
        for need in row.after:
            met = growing.met_promoted if need.promoted else growing.met
            unmet += need.count - sum(1 for needed in need.tasks() if needed in met)
            grown.dependencies.extend((needed, Dependent(task_id, need.promoted)) for needed in need.tasks())
        state = first_state(row.times, ledger.now, unmet=unmet)
        if job.cancel_requested_at is not None:
            state = TaskState.CANCELED
        task = Task(task_id, job.id, row.group_id, row.id, state, row.priority, retries=row.retries, unmet=unmet)
        if state in (TaskState.BLOCKED, TaskState.SCHEDULED):
            task.not_before = row.times.not_before
        elif state is TaskState.CANCELED:
            task.reason = job.cancel_reason
        elif state is TaskState.FAILED and row.times.deadline is not None:
            task.reason = missed(row.times.deadline)
        job.counts[state] += 1
        job.expanded += 1
        if state is TaskState.READY:
            ledger.groups[row.group_id].ready += 1
            ledger.dirty_groups.add(row.group_id)
            ledger.work_appeared = True
        grown.tasks.append(task)
        if len(grown.tasks) + len(grown.dependencies) >= SLICE:
            break
    ledger.dirty_jobs.add(job.id)
    return grown


def _next_tasks(growing: Growing, first: int) -> Iterator[tuple[SpecRow, int]]:
    for row in growing.specs:
        for task_id in row.tasks():
            if task_id >= first:
                yield row, task_id


def adopt(ledger: Ledger, job: Job, queue: str, groups: list[GroupRow]) -> None:
    """A job that storage has just numbered is part of this transaction."""
    ledger.counted["submitted", queue] += job.total
    ledger.jobs[job.id] = job
    ledger.groups.update((group.id, group) for group in groups)


# --- cancel and requeue ------------------------------------------------------------------------------------


def cancel(ledger: Ledger, request: CancelJob) -> Changed:
    """Cancel a job: at once for assignment (its groups are passed over), row by row in slices."""
    job = _job(ledger, request.job)
    if job.state not in (JobState.ACTIVE, JobState.CANCELING):
        raise ConflictError(f"job {job.id} is {job.state} already; nothing was canceled")
    if job.cancel_requested_at is None:
        job.cancel_requested_at = ledger.now
        job.cancel_reason = request.reason or f"canceled by {request.actor}"
        ledger.dirty_jobs.add(job.id)
        ledger.note_job("job.cancel_requested", job.id, actor=request.actor, detail={"reason": request.reason})
    return cancel_slice(ledger, job.id, request.actor)


def cancel_slice(ledger: Ledger, job_id: int, actor: str) -> Changed:
    """Cancel the slice of the job's tasks that was loaded; the sweep goes on with the rest."""
    job = ledger.jobs[job_id]
    if job.cancel_requested_at is None:
        return Changed(0)
    count = 0
    for task_id in ledger.slices.get(job_id, ()):
        count += tasks.cancel(ledger, ledger.tasks[task_id], actor=actor, reason=job.cancel_reason)
    ledger.dirty_jobs.add(job_id)
    return Changed(count, continues=len(ledger.slices.get(job_id, ())) >= SLICE)


def requeue_failed(ledger: Ledger, request: RequeueFailed) -> Changed:
    """Requeue the failed (and canceled) tasks of a job, a slice at a time: the caller asks again while it continues."""
    job = _job(ledger, request.job)
    if job.archived_at is not None:
        raise ConflictError(f"job {job.id} is archived: its tasks are being removed")
    chosen = ledger.slices.get(request.job, [])
    if not chosen:
        raise ConflictError(f"job {job.id} has no {'failed or canceled' if request.canceled else 'failed'} tasks")
    for task_id in chosen:
        tasks.requeue(ledger, ledger.tasks[task_id], actor=request.actor, reason=request.reason)
    return Changed(len(chosen), continues=len(chosen) >= SLICE)


def _job(ledger: Ledger, job_id: int) -> Job:
    job = ledger.jobs.get(job_id)
    if job is None:
        raise NotFoundError(f"there is no job {job_id}")
    return job
