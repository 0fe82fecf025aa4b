"""What happens to tasks and their attempts: reports of workers, requests of people, time passing.

The fence of every report is (task, attempt, worker): an attempt belongs to one worker for ever. A late or repeated
report changes nothing and gets the answer that its row gives.
"""

from datetime import datetime, timedelta
from random import random

from coordinator.domain import retry
from coordinator.domain.attempt import Attempt, AttemptEvent, AttemptState, Ending
from coordinator.domain.job import Job, verdict_on
from coordinator.domain.retry import RetryClass
from coordinator.domain.task import FINISHED, HELD, Task, TaskEvent, TaskState
from coordinator.domain.times import Overdue, missed
from coordinator.operations import late
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Accusation
from coordinator.operations.requests import CancelTasks, Changed, ConflictError, NotFoundError, RequeueTasks
from schemas.envelope import FromWorker
from schemas.spawn import mark_of
from schemas.task import (
    Outcome,
    TaskFinished,
    TaskOutput,
    TaskProgress,
    TaskPromoted,
    TaskStarted,
    Verdict,
)


def verdict_of(attempt: Attempt | None, worker: str, outcome: Outcome) -> Verdict:
    """The answer to a report, read from the row: accepted when this very ending is what the row holds."""
    if attempt is not None and attempt.worker_id == worker and attempt.ending == outcome.value:
        return Verdict.ACCEPTED
    return Verdict.SUPERSEDED


def _own(ledger: Ledger, message: FromWorker, task: int, number: int) -> Attempt | None:
    attempt = ledger.attempts.get((task, number))
    if attempt is None or attempt.worker_id != message.worker:
        return None
    attempt.seen_seq = max(attempt.seen_seq, message.seq)
    return attempt


# --- reports -----------------------------------------------------------------------------------------------


def started(ledger: Ledger, message: FromWorker, event: TaskStarted) -> None:
    """The attempt runs; what must not run is revoked."""
    attempt = _own(ledger, message, event.task, event.attempt)
    if attempt is None or not attempt.live:
        ledger.outgoing.revocations[message.worker].append((event.task, event.attempt, "superseded"))
        return
    begin(ledger, attempt)


def begin(ledger: Ledger, attempt: Attempt) -> None:
    """Mark a live attempt as running, if it is not."""
    if ledger.advance(attempt, AttemptEvent.STARTED):
        attempt.started_at = ledger.now
        task = ledger.tasks[attempt.task_id]
        ledger.move(task, TaskEvent.STARTED)
        ledger.note_task("task.started", task, attempt=attempt)
        _sign(ledger, attempt)


def _sign(ledger: Ledger, attempt: Attempt) -> None:
    """The attempt lives: who watches it starts to count anew."""
    if ledger.jobs[ledger.tasks[attempt.task_id].job_id].watched:
        ledger.watch.signs.add((attempt.task_id, attempt.attempt))


def progress(ledger: Ledger, message: FromWorker, event: TaskProgress) -> None:
    """How far a live attempt is."""
    attempt = _own(ledger, message, event.task, event.attempt)
    if attempt is not None and attempt.live:
        attempt.done, attempt.total, attempt.activity = event.done, event.total, event.activity
        ledger.dirty_attempts.add((event.task, event.attempt))
        _sign(ledger, attempt)


def output(ledger: Ledger, message: FromWorker, event: TaskOutput) -> None:
    """An output before the end."""
    if _own(ledger, message, event.task, event.attempt) is not None:
        ledger.outputs.append((event.task, event.attempt, event.file, event.location))


def finished(ledger: Ledger, message: FromWorker, event: TaskFinished) -> None:
    """The report of an attempt's end, answered with a verdict.

    Where several coordinators take messages, it may overtake the tasks that the attempt has added: then it has no
    answer yet, and its worker sends it again.
    """
    attempt = _own(ledger, message, event.task, event.attempt)
    if attempt is not None and event.added and _is_too_early(ledger, attempt, event):
        return
    if attempt is not None and (attempt.state is not AttemptState.ENDED or _is_late_success(ledger, attempt, event)):
        _record(ledger, attempt, event)
    elif attempt is not None:
        ledger.hear_end(attempt)
    verdict = verdict_of(attempt, message.worker, event.outcome)
    ledger.outgoing.verdicts[message.worker].append((event.task, event.attempt, verdict))
    ledger.counted["verdict", verdict] += 1


def _is_too_early(ledger: Ledger, attempt: Attempt, event: TaskFinished) -> bool:
    """Whether what the attempt has added is still on its way, and would be added to a job that is completed already."""
    job = ledger.jobs[ledger.tasks[attempt.task_id].job_id]
    if event.outcome is not Outcome.COMPLETED or not attempt.live or job.cancel_requested_at or job.archived_at:
        return False
    there = {mark_of(name) for task, run, name in ledger.recurring.spawned if (task, run) == (event.task, attempt.run)}
    return not there.issuperset(event.added or ())


def _record(ledger: Ledger, attempt: Attempt, event: TaskFinished) -> None:
    was_live, task = attempt.live, ledger.tasks[attempt.task_id]
    attempt.exit_code, attempt.result = event.exit_code, event.result
    attempt.error, attempt.cause = event.error or attempt.error, event.cause or attempt.cause
    attempt.run_s = event.run_s
    ledger.outputs.extend((event.task, event.attempt, file, None) for file in event.outputs)
    if was_live and event.outcome is Outcome.COMPLETED:
        ledger.complete(task, attempt)
        ledger.note_task("task.completed", task, attempt=attempt)
        release(ledger, task, promoted=False)
        return
    if _is_late_success(ledger, attempt, event):
        late.accept(ledger, task, attempt)
        release(ledger, task, promoted=False)
        return
    ledger.advance(attempt, AttemptEvent.REPORTED, Ending(event.outcome))
    if was_live:
        follow(ledger, task, attempt)
    else:
        ledger.note_task(f"attempt.{attempt.ending}", task, attempt=attempt)


def _is_late_success(ledger: Ledger, attempt: Attempt, event: TaskFinished) -> bool:
    return event.outcome is Outcome.COMPLETED and not attempt.live and late.is_welcome(ledger, attempt)


def promoted(ledger: Ledger, message: FromWorker, event: TaskPromoted) -> None:
    """The accepted outputs are at their known path: what waited for that may go on."""
    attempt = _own(ledger, message, event.task, event.attempt)
    if attempt is None or not attempt.accepted or attempt.promoted_at is not None:
        return
    attempt.promoted_at = ledger.now
    ledger.dirty_attempts.add((event.task, event.attempt))
    task = ledger.tasks[event.task]
    ledger.note_task("task.promoted", task, attempt=attempt, detail={"path": event.path})
    if task.accepted_attempt == attempt.attempt:
        release(ledger, task, promoted=True)


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
