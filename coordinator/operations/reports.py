"""What workers say of attempts: started, how far, ended, outputs at their path.

The fence of every report is (task, attempt, worker): an attempt belongs to one worker for ever. A late or repeated
report changes nothing and gets the answer that its row gives.
"""

from coordinator.domain.attempt import Attempt, AttemptEvent, AttemptState, Ending
from coordinator.domain.task import TaskEvent
from coordinator.operations import late
from coordinator.operations.ledger import Ledger
from coordinator.operations.tasks import follow, release
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
