"""What happens to tasks and their attempts beside the reports of workers: what follows an end, requests of people, time
passing."""

from datetime import datetime, timedelta
from random import random

from coordinator.domain import retry
from coordinator.domain.attempt import Attempt, AttemptEvent, Ending
from coordinator.domain.job import Job, verdict_on
from coordinator.domain.retry import RetryClass
from coordinator.domain.task import FINISHED, HELD, Task, TaskEvent, TaskState
from coordinator.domain.times import Overdue, missed
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Accusation
from coordinator.operations.requests import CancelTasks, Changed, ConflictError, NotFoundError, RequeueTasks

# --- what follows ------------------------------------------------------------------------------------------


def lose(ledger: Ledger, attempt: Attempt, why: str) -> None:
    """The farm gives an attempt up: its worker is gone, or has forgotten it."""
    was_live = attempt.live
    attempt.error = why
    if not ledger.advance(attempt, AttemptEvent.LOST):
        return
    task = ledger.tasks[attempt.task_id]
    if was_live:
        follow(ledger, task, attempt)
    else:
        ledger.note_task(f"attempt.{attempt.ending}", task, attempt=attempt)


def give_back(ledger: Ledger, attempt: Attempt) -> None:
    """A worker that leaves hands an attempt back: it has ended there."""
    was_live, task = attempt.live, ledger.tasks[attempt.task_id]
    ledger.advance(attempt, AttemptEvent.REPORTED, Ending.INTERRUPTED)
    if was_live:
        follow(ledger, task, attempt)
    else:
        ledger.note_task(f"attempt.{attempt.ending}", task, attempt=attempt)


def stop_overdue(ledger: Ledger, attempt: Attempt, why: Overdue) -> None:
    """A live attempt has had its time: it is told to stop, and its task goes on as after a failure."""
    task = ledger.tasks[attempt.task_id]
    attempt.error, attempt.cause = why.words, why.cause
    if not ledger.advance(attempt, AttemptEvent.REVOKED):
        return
    ledger.outgoing.revocations[attempt.worker_id].append((attempt.task_id, attempt.attempt, why.words))
    follow(ledger, task, attempt, Ending.FAILED)


def expire(ledger: Ledger, task: Task, deadline: datetime) -> None:
    """A task that is not finished has missed its deadline."""
    live = ledger.live.get(task.id)
    if not ledger.move(task, TaskEvent.EXPIRED, reason=missed(deadline)):
        return
    if live is not None:
        live.error = task.reason
        ledger.advance(live, AttemptEvent.REVOKED)
        ledger.outgoing.revocations[live.worker_id].append((live.task_id, live.attempt, missed(deadline)))
    ledger.note_task("task.expired", task, attempt=live, detail={"deadline": deadline.isoformat()})
    _judge_job(ledger, ledger.jobs[task.job_id])


def follow(ledger: Ledger, task: Task, attempt: Attempt, ending: Ending | None = None) -> None:
    """A live attempt ended without a result (or is given up as if by *ending*): try again at once, later, or not."""
    event = "overdue" if ending else attempt.ending
    ending = ending or attempt.ending or Ending.LOST
    kind = retry.class_of(ending, attempt.cause, attempt.exit_code)
    _count(ledger, task, attempt, kind)
    job = ledger.jobs[task.job_id]
    counts = retry.Counts(task.failures, task.shortages, task.losses)
    budget = retry.Budget(task.retries, job.policy.shortages, job.policy.max_losses)
    then = retry.after(kind, counts, budget, chance=random())
    detail: dict[str, object] = {"error": attempt.error} if attempt.error else {}
    detail["class"] = kind.value
    if isinstance(then, retry.GiveUp):
        ledger.move(task, TaskEvent.GAVE_UP, reason=then.reason)
        detail["then"] = then.reason
        _judge_job(ledger, job)
    elif task.unmet:
        ledger.move(task, TaskEvent.BLOCKED)
        detail["then"] = "waits for its dependencies"
    elif isinstance(then, retry.Later):
        ledger.move(task, TaskEvent.POSTPONED, reason=retry.told(kind, counts, budget, attempt.error))
        task.not_before = ledger.now + timedelta(seconds=then.backoff_s)
        detail["then"] = f"again in {then.backoff_s:.0f} s"
    else:
        ledger.move(task, TaskEvent.FREED)
        detail["then"] = (
            "again" if task.not_before is None else f"again at {task.not_before:%H:%M:%S}, when its lease is over"
        )
    ledger.note_task(f"attempt.{event}", task, attempt=attempt, detail=detail)


def _count(ledger: Ledger, task: Task, attempt: Attempt, kind: RetryClass) -> None:
    """One more end of this class in the task's run. A loss counts when the attempt had started.

    The first worker that fails the task is suspected; the second one speaks for it, and against the task.
    """
    if kind is RetryClass.INFRASTRUCTURE:
        task.losses += attempt.ending is Ending.LOST and attempt.started_at is not None
        return
    task.failures += retry.RULES[kind].burns_retry
    task.shortages += kind is RetryClass.RESOURCE
    if attempt.worker_id in task.failed_on:
        return
    if not task.failed_on and kind is not RetryClass.POISON:
        ledger.accusations.append(Accusation(task.job_id, attempt.class_id, attempt.worker_id, 1))
    elif len(task.failed_on) == 1:
        ledger.accusations.append(Accusation(task.job_id, attempt.class_id, task.failed_on[0], -1))
    task.failed_on = [*task.failed_on, attempt.worker_id]


def _judge_job(ledger: Ledger, job: Job) -> None:
    """A task has failed for good: perhaps its job has had enough. The rest is canceled in slices."""
    reason = verdict_on(job.policy, failed=job.counts[TaskState.FAILED], total=job.total)
    if reason is None or job.cancel_requested_at is not None:
        return
    job.cancel_requested_at, job.cancel_reason = ledger.now, reason
    ledger.condemned.add(job.id)
    ledger.note_job("job.gave_up", job.id, detail={"reason": reason})


def release(ledger: Ledger, task: Task, *, promoted: bool) -> None:
    """What waited for *task* (to be accepted, or promoted) waits for one thing less."""
    for dependent in ledger.dependents.get(task.id, ()):
        if dependent.promoted is promoted:
            waiting = ledger.tasks[dependent.task_id]
            waiting.unmet -= 1
            ledger.dirty_tasks.add(waiting.id)
            if waiting.unmet:
                continue
            if waiting.not_before is not None and waiting.not_before > ledger.now:
                ledger.move(waiting, TaskEvent.POSTPONED)
            elif ledger.move(waiting, TaskEvent.RELEASED) and waiting.state is TaskState.READY:
                ledger.note_task("task.ready", waiting)


def hold_back(ledger: Ledger, task: Task, *, promoted: bool) -> None:
    """What *task* had released waits for it again; what runs or is finished goes on."""
    for dependent in ledger.dependents.get(task.id, ()):
        if dependent.promoted is promoted:
            waiting = ledger.tasks[dependent.task_id]
            waiting.unmet += 1
            ledger.dirty_tasks.add(waiting.id)
            if waiting.state not in HELD and waiting.state is not TaskState.BLOCKED:
                ledger.move(waiting, TaskEvent.BLOCKED)


# --- requests ----------------------------------------------------------------------------------------------


def cancel(ledger: Ledger, task: Task, *, actor: str, reason: str | None) -> bool:
    """Cancel one task; its live attempt is told to stop. False when it is finished."""
    live = ledger.live.get(task.id)
    if not ledger.move(task, TaskEvent.CANCELED, reason=reason or f"canceled by {actor}"):
        return False
    if live is not None:
        ledger.advance(live, AttemptEvent.REVOKED)
        ledger.outgoing.revocations[live.worker_id].append((live.task_id, live.attempt, "canceled"))
    ledger.note_task("task.canceled", task, attempt=live, actor=actor, detail={"reason": reason} if reason else None)
    return True


def cancel_tasks(ledger: Ledger, request: CancelTasks) -> Changed:
    """Cancel the named tasks, all or none."""
    found = [_task(ledger, task_id) for task_id in request.tasks]
    for task in found:
        if task.state in FINISHED:
            raise ConflictError(f"task {task.id} is {task.state} already; nothing was canceled")
    return Changed(sum(cancel(ledger, task, actor=request.actor, reason=request.reason) for task in found))


def requeue(ledger: Ledger, task: Task, *, actor: str, reason: str | None) -> None:
    """Start the next run of a finished task. Attempt numbers go on."""
    accepted = ledger.attempts.get((task.id, task.accepted_attempt or 0))
    was_completed = task.state is TaskState.COMPLETED
    task.accepted_attempt = None
    task.run += 1
    task.failures = task.shortages = task.losses = 0
    task.failed_on = []
    ledger.move(task, TaskEvent.REQUEUED_BLOCKED if task.unmet else TaskEvent.REQUEUED)
    job = ledger.jobs[task.job_id]
    if job.cancel_requested_at is not None:
        job.cancel_requested_at = job.cancel_reason = None
    if was_completed:
        hold_back(ledger, task, promoted=False)
        if accepted is not None and accepted.promoted_at is not None:
            hold_back(ledger, task, promoted=True)
    ledger.note_task("task.requeued", task, actor=actor, detail={"run": task.run, "reason": reason})


def requeue_tasks(ledger: Ledger, request: RequeueTasks) -> Changed:
    """Requeue the named tasks, all or none."""
    found = [_task(ledger, task_id) for task_id in request.tasks]
    for task in found:
        if task.state not in FINISHED:
            raise ConflictError(f"task {task.id} is {task.state}; only finished tasks can be requeued")
        if ledger.jobs[task.job_id].archived_at is not None:
            raise ConflictError(f"job {task.job_id} is archived: its tasks are being removed")
    for task in found:
        requeue(ledger, task, actor=request.actor, reason=request.reason)
    return Changed(len(found))


def _task(ledger: Ledger, task_id: int) -> Task:
    task = ledger.tasks.get(task_id)
    if task is None:
        raise NotFoundError(f"there is no task {task_id}")
    return task
