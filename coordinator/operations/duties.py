"""What is due by time: an event like any other, checked in its transaction against when it last ran."""

from datetime import timedelta
from typing import Final

from coordinator.domain import times
from coordinator.domain.task import TaskEvent, TaskState
from coordinator.operations import tasks
from coordinator.operations.ledger import Ledger

#: An assignment without a sign of life is sent again after 2, 4, … 64 s; then it is given up.
MOST_SENDS: Final = 7


def is_due(ledger: Ledger, duty: str, every: timedelta) -> bool:
    """Whether *duty* has not run for about *every*; marks it as run."""
    last = ledger.duties.get(duty)
    if last is not None and ledger.now - last < every * 0.9:
        return False
    ledger.duties_run.add(duty)
    return True


def make_due(ledger: Ledger) -> None:
    """Tasks whose time has come are ready."""
    for task_id in ledger.due:
        task = ledger.tasks[task_id]
        due = task.not_before is not None and task.not_before <= ledger.now
        if due and ledger.move(task, TaskEvent.DUE) and task.state is TaskState.READY:
            ledger.note_task("task.ready", task)


def stop_overdue(ledger: Ledger) -> None:
    """Attempts that have had their time are stopped; those that gave a sign meanwhile are looked at later."""
    for one in ledger.watch.overdue:
        attempt = ledger.attempts.get((one.task, one.attempt))
        if attempt is None or not attempt.live:
            continue
        why = times.overdue(one.times, one.started_at, one.heard_at, ledger.now)
        if why is not None:
            tasks.stop_overdue(ledger, attempt, why)
        else:
            look = times.look_at(one.times, one.started_at, one.heard_at)
            if look is not None:
                ledger.watch.looks[one.task, one.attempt] = look


def expire(ledger: Ledger) -> None:
    """Tasks that have missed their deadline are failed, a slice at a time."""
    for one in ledger.watch.expired:
        ledger.watch.applied.append(one)
        for task_id in one.tasks:
            tasks.expire(ledger, ledger.tasks[task_id], one.deadline)


def send_again(ledger: Ledger) -> None:
    """Assignments of present workers that were neither started nor listed are sent again, and at last given up."""
    for key in ledger.undelivered:
        attempt = ledger.attempts[key]
        if attempt.sends >= MOST_SENDS:
            tasks.lose(ledger, attempt, f"never received, though sent {attempt.sends} times")
            continue
        attempt.sends += 1
        attempt.sent_at = ledger.now
        ledger.dirty_attempts.add(key)
        ledger.outgoing.assigned[attempt.worker_id].append(attempt)
