"""A task's life: waiting, held by one live attempt, or finished.

    blocked -> ready -> assigned -> running -> completed | failed | canceled
    (and `scheduled`, until a time, and `paused`, until somebody resumes it)

An attempt's end is a fact; `retry` turns it into one of the decisions below, so that this table has no conditions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from coordinator.domain.outcome import Refused


class TaskState(StrEnum):
    """Where a task is; each task is in exactly one."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    PAUSED = "paused"
    READY = "ready"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class TaskEvent(StrEnum):
    """What can happen to a task."""

    RELEASED = "released"  # all it waited for is there
    BLOCKED = "blocked"  # something it waits for runs again
    DUE = "due"  # its time has come
    ASSIGNED = "assigned"  # a worker got an attempt of it
    STARTED = "started"
    COMPLETED = "completed"  # the live attempt's report was accepted
    COMPLETED_LATE = "completed_late"  # the report of an attempt that was given up was accepted
    FREED = "freed"  # the live attempt ended without a result; ready again at once
    POSTPONED = "postponed"  # it is to run, but not before a time
    GAVE_UP = "gave_up"  # no attempt is left
    EXPIRED = "expired"  # its deadline has passed
    CANCELED = "canceled"
    REQUEUED = "requeued"  # an operator starts the next run
    REQUEUED_BLOCKED = "requeued_blocked"  # the same, but something it waits for is not there
    PAUSED = "paused"  # somebody holds it back
    RESUMED = "resumed"
    RESUMED_BLOCKED = "resumed_blocked"  # the same, but something it waits for is not there
    RESUMED_SCHEDULED = "resumed_scheduled"  # the same, but its time has not come


_S, _E = TaskState, TaskEvent
_ENDS: Final = {
    _E.COMPLETED: _S.COMPLETED,
    _E.FREED: _S.READY,
    _E.POSTPONED: _S.SCHEDULED,
    _E.GAVE_UP: _S.FAILED,
    _E.EXPIRED: _S.FAILED,
    _E.CANCELED: _S.CANCELED,
    _E.BLOCKED: _S.BLOCKED,
}
_LATE: Final = {_E.COMPLETED_LATE: _S.COMPLETED}
_AGAIN: Final = {_E.REQUEUED: _S.READY, _E.REQUEUED_BLOCKED: _S.BLOCKED}

TRANSITIONS: Final[Mapping[TaskState, Mapping[TaskEvent, TaskState]]] = {
    _S.BLOCKED: {
        _E.RELEASED: _S.READY,
        _E.POSTPONED: _S.SCHEDULED,
        _E.BLOCKED: _S.BLOCKED,
        _E.PAUSED: _S.PAUSED,
        _E.EXPIRED: _S.FAILED,
        _E.CANCELED: _S.CANCELED,
    },
    _S.SCHEDULED: {
        _E.DUE: _S.READY,
        _E.BLOCKED: _S.BLOCKED,
        _E.PAUSED: _S.PAUSED,
        _E.EXPIRED: _S.FAILED,
        _E.CANCELED: _S.CANCELED,
        **_LATE,
    },
    # It keeps what it waits for and its time: resumed, it goes where these lead.
    _S.PAUSED: {
        _E.RESUMED: _S.READY,
        _E.RESUMED_BLOCKED: _S.BLOCKED,
        _E.RESUMED_SCHEDULED: _S.SCHEDULED,
        _E.EXPIRED: _S.FAILED,
        _E.CANCELED: _S.CANCELED,
        **_LATE,
    },
    _S.READY: {
        _E.ASSIGNED: _S.ASSIGNED,
        _E.BLOCKED: _S.BLOCKED,
        _E.PAUSED: _S.PAUSED,
        _E.EXPIRED: _S.FAILED,
        _E.CANCELED: _S.CANCELED,
        **_LATE,
    },
    # "started" may be lost or overtaken by the end: assigned may end as well.
    _S.ASSIGNED: {_E.STARTED: _S.RUNNING, **_ENDS, **_LATE},
    _S.RUNNING: {**_ENDS, **_LATE},
    _S.COMPLETED: _AGAIN,
    _S.FAILED: _AGAIN,
    _S.CANCELED: _AGAIN,
}

FINISHED: Final = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELED})
HELD: Final = frozenset({_S.ASSIGNED, _S.RUNNING})


def decide(state: TaskState, event: TaskEvent) -> TaskState | Refused:
    """What *event* makes of a task in *state*."""
    return TRANSITIONS[state].get(event) or Refused(state, event)


@dataclass(slots=True)
class Task:
    """A task's row. `unmet` counts dependencies not there yet; `attempt` is the number of its newest attempt."""

    id: int
    job_id: int
    group_id: int
    spec_id: int
    state: TaskState
    priority: int
    run: int = 1
    attempt: int = 0
    accepted_attempt: int | None = None
    failures: int = 0
    losses: int = 0
    shortages: int = 0
    retries: int = 3
    failed_on: list[str] = field(default_factory=list)
    unmet: int = 0
    not_before: datetime | None = None
    reason: str | None = None
