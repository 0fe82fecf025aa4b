"""A success that comes when its attempt was given up: accepted if the job wants that and the task is not finished."""

from coordinator.domain import late
from coordinator.domain.attempt import Attempt, AttemptEvent, Ending
from coordinator.domain.task import Task, TaskEvent
from coordinator.operations.ledger import Ledger


def is_welcome(ledger: Ledger, attempt: Attempt) -> bool:
    """Whether a success of *attempt* would be accepted now. It is not answered by less than the report itself."""
    task = ledger.tasks.get(attempt.task_id)
    return task is not None and late.is_welcome(ledger.jobs[task.job_id].policy, attempt, task)


def accept(ledger: Ledger, task: Task, attempt: Attempt) -> None:
    """Take the result of *attempt*; the one that runs in its place is to stop."""
    live = ledger.live.get(task.id)
    if live is not None and ledger.advance(live, AttemptEvent.REVOKED):
        ledger.outgoing.revocations[live.worker_id].append((live.task_id, live.attempt, "superseded"))
        ledger.note_task("attempt.stopping", task, attempt=live, detail={"reason": "an earlier attempt has done it"})
    if attempt.ending is Ending.LOST and attempt.started_at is not None:
        task.losses -= 1
    was = attempt.ending or attempt.state
    task.accepted_attempt = attempt.attempt
    ledger.move(task, TaskEvent.COMPLETED_LATE)
    ledger.advance(attempt, AttemptEvent.ACCEPTED_LATE)
    attempt.accepted = True
    ledger.note_task("task.completed", task, attempt=attempt, detail={"late": True, "was": was.value})
