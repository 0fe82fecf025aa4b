"""Pause and resume: jobs and queues by one row, whatever their size; single tasks by their state.

What runs goes on. A job or a queue holds back its groups; a task that is paused keeps what it waits for and its time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from coordinator.domain.budget import Hold, Scope
from coordinator.domain.job import JOB_FINISHED, Job
from coordinator.domain.task import HELD, TRANSITIONS, Task, TaskEvent, TaskState
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, NotFoundError, Request
from coordinator.operations.wanted import Wanted


@dataclass(frozen=True)
class PauseJob(Request[Changed]):
    """Give no more of this job's tasks to workers."""

    job: int
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class ResumeJob(Request[Changed]):
    """Give them to workers again."""

    job: int
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class PauseTasks(Request[Changed]):
    """Hold these tasks back; those that workers hold, or that are finished, are refused."""

    tasks: tuple[int, ...]
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class ResumeTasks(Request[Changed]):
    """Hold them back no longer."""

    tasks: tuple[int, ...]
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class PauseQueue(Request[Changed]):
    """Give nothing more from this queue to workers."""

    queue: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class ResumeQueue(Request[Changed]):
    """Give what waits in it to workers again."""

    queue: str
    actor: str
    reason: str | None = None


# --- jobs --------------------------------------------------------------------------------------------------


def pause_job(ledger: Ledger, request: PauseJob) -> Changed:
    """Hold a job's groups back, at once."""
    job = unfinished(ledger, request.job)
    if job.paused_at is not None:
        raise ConflictError(f"job {job.id} is paused already, by {job.paused_by}")
    job.paused_at, job.paused_by, job.pause_reason = ledger.now, request.actor, request.reason
    ledger.ruling.dirty_jobs.add(job.id)
    ledger.note_job("job.paused", job.id, actor=request.actor, detail={"reason": request.reason})
    return Changed(1)


def resume_job(ledger: Ledger, request: ResumeJob) -> Changed:
    """Let a job's groups be served again."""
    job = unfinished(ledger, request.job)
    if job.paused_at is None:
        raise ConflictError(f"job {job.id} is not paused")
    job.paused_at = job.paused_by = job.pause_reason = None
    ledger.ruling.dirty_jobs.add(job.id)
    ledger.work_appeared = True
    ledger.note_job("job.resumed", job.id, actor=request.actor, detail={"reason": request.reason})
    return Changed(1)


def unfinished(ledger: Ledger, number: int) -> Job:
    """The job. Raises NotFoundError, or ConflictError when it is finished."""
    job = ledger.jobs.get(number)
    if job is None:
        raise NotFoundError(f"there is no job {number}")
    if job.state in JOB_FINISHED:
        raise ConflictError(f"job {job.id} is {job.state} already")
    return job


# --- tasks -------------------------------------------------------------------------------------------------


def pause_tasks(ledger: Ledger, request: PauseTasks) -> Changed:
    """Hold the named tasks back, all or none."""
    found = [_task(ledger, number) for number in request.tasks]
    for task in found:
        if task.state in HELD:
            raise ConflictError(f"task {task.id} is {task.state}, and what runs goes on: cancel it, or pause its job")
        if TaskEvent.PAUSED not in TRANSITIONS[task.state]:
            raise ConflictError(f"task {task.id} is {task.state} already")
    for task in found:
        because = f": {request.reason}" if request.reason else ""
        ledger.move(task, TaskEvent.PAUSED, reason=f"paused by {request.actor}{because}")
        ledger.note_task("task.paused", task, actor=request.actor, detail={"reason": request.reason})
    return Changed(len(found))


def resume_tasks(ledger: Ledger, request: ResumeTasks) -> Changed:
    """Let the named tasks go where their dependencies and their time lead, all or none."""
    found = [_task(ledger, number) for number in request.tasks]
    for task in found:
        if task.state is not TaskState.PAUSED:
            raise ConflictError(f"task {task.id} is {task.state}, not paused")
    for task in found:
        ledger.move(task, _onward(ledger, task))
        detail = {"reason": request.reason, "then": task.state}
        ledger.note_task("task.resumed", task, actor=request.actor, detail=detail)
    return Changed(len(found))


def _onward(ledger: Ledger, task: Task) -> TaskEvent:
    if task.unmet:
        return TaskEvent.RESUMED_BLOCKED
    if task.not_before is not None and task.not_before > ledger.now:
        return TaskEvent.RESUMED_SCHEDULED
    return TaskEvent.RESUMED


def _task(ledger: Ledger, number: int) -> Task:
    task = ledger.tasks.get(number)
    if task is None:
        raise NotFoundError(f"there is no task {number}")
    return task


# --- queues ------------------------------------------------------------------------------------------------


def pause_queue(ledger: Ledger, request: PauseQueue) -> Changed:
    """Hold back whatever waits in a queue; it need not exist yet."""
    rules = ledger.ruling.rules
    held = rules.paused.get(request.queue)
    if held is not None:
        raise ConflictError(f"queue {request.queue} is paused already, by {held.by}")
    hold = Hold(Scope.QUEUE, request.queue, request.actor, ledger.now, request.reason)
    ledger.ruling.rules = replace(rules, paused={**rules.paused, request.queue: hold})
    ledger.ruling.changes.append(("pause_queue", (request.queue, ledger.now, request.actor, request.reason)))
    ledger.note_farm("queue.paused", actor=request.actor, detail={"queue": request.queue, "reason": request.reason})
    return Changed(1)


def resume_queue(ledger: Ledger, request: ResumeQueue) -> Changed:
    """Let a queue be served again."""
    rules = ledger.ruling.rules
    if request.queue not in rules.paused:
        raise ConflictError(f"queue {request.queue} is not paused")
    rest = {name: hold for name, hold in rules.paused.items() if name != request.queue}
    ledger.ruling.rules = replace(rules, paused=rest)
    ledger.ruling.changes.append(("resume_queue", (request.queue,)))
    ledger.work_appeared = True
    ledger.note_farm("queue.resumed", actor=request.actor, detail={"queue": request.queue, "reason": request.reason})
    return Changed(1)


def _want_job(wanted: Wanted, request: PauseJob | ResumeJob) -> None:
    wanted.jobs.add(request.job)


def _want_tasks(wanted: Wanted, request: PauseTasks | ResumeTasks) -> None:
    wanted.tasks.update(request.tasks)


def _want_rules(wanted: Wanted, _: object) -> None:
    wanted.rules = True


#: Request -> what it needs to see, what applies it.
OPERATIONS: Final[Mapping[type, tuple[Callable[[Wanted, Any], None], Callable[[Ledger, Any], Any]]]] = {
    PauseJob: (_want_job, pause_job),
    ResumeJob: (_want_job, resume_job),
    PauseTasks: (_want_tasks, pause_tasks),
    ResumeTasks: (_want_tasks, resume_tasks),
    PauseQueue: (_want_rules, pause_queue),
    ResumeQueue: (_want_rules, resume_queue),
}
