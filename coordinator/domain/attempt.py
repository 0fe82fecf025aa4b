"""An attempt's life: one worker's try at one task, its own for ever.

    assigned -> running -> ended (completed, failed, canceled, interrupted, lost, revoked, superseded)

Both may become `stopping` first: that has given up the task and still holds slots and resources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from coordinator.domain.outcome import Refused


class AttemptState(StrEnum):
    """Where an attempt is. `assigned` and `running` are live: the task is theirs."""

    ASSIGNED = "assigned"
    RUNNING = "running"
    STOPPING = "stopping"
    ENDED = "ended"


class Ending(StrEnum):
    """How it ended; the first four as its worker reported, the others as the farm decided."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    REVOKED = "revoked"
    SUPERSEDED = "superseded"


class AttemptEvent(StrEnum):
    """What can happen to an attempt."""

    STARTED = "started"
    REPORTED = "reported"  # its worker says that it ended
    REVOKED = "revoked"  # it shall stop
    LOST = "lost"  # its worker is gone, or has forgotten it
    ACCEPTED_LATE = "accepted_late"  # it was given up, and its result is taken all the same


_S, _E = AttemptState, AttemptEvent
TRANSITIONS: Final[Mapping[AttemptState, Mapping[AttemptEvent, AttemptState]]] = {
    _S.ASSIGNED: {_E.STARTED: _S.RUNNING, _E.REPORTED: _S.ENDED, _E.REVOKED: _S.STOPPING, _E.LOST: _S.ENDED},
    _S.RUNNING: {_E.REPORTED: _S.ENDED, _E.REVOKED: _S.STOPPING, _E.LOST: _S.ENDED},
    _S.STOPPING: {_E.REPORTED: _S.ENDED, _E.LOST: _S.ENDED, _E.ACCEPTED_LATE: _S.ENDED},
    _S.ENDED: {_E.ACCEPTED_LATE: _S.ENDED},
}

LIVE: Final = frozenset({_S.ASSIGNED, _S.RUNNING})


def decide(state: AttemptState, event: AttemptEvent) -> AttemptState | Refused:
    """What *event* makes of an attempt in *state*."""
    return TRANSITIONS[state].get(event) or Refused(state, event)


def ending_of(state: AttemptState, event: AttemptEvent, reported: Ending | None = None) -> Ending:
    """How an attempt that was in *state* ended by *event*; *reported* is its worker's word.

    What was stopping has given up its task: a result that comes then is `superseded`, anything else `revoked`.
    """
    if event is AttemptEvent.ACCEPTED_LATE:
        return Ending.COMPLETED
    if state is AttemptState.STOPPING:
        return Ending.SUPERSEDED if reported is Ending.COMPLETED else Ending.REVOKED
    if event is AttemptEvent.LOST or reported is None:
        return Ending.LOST
    return reported


@dataclass(slots=True)
class Attempt:
    """An attempt's row. `seen_seq` is the newest envelope of its worker that spoke of it."""

    task_id: int
    attempt: int
    run: int
    class_id: int
    worker_id: str
    epoch: int
    state: AttemptState
    assigned_at: datetime
    sent_at: datetime
    sends: int = 1
    ending: Ending | None = None
    accepted: bool = False
    seen_seq: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    promoted_at: datetime | None = None
    exit_code: int | None = None
    error: str | None = None
    result: Any = None
    run_s: float | None = None
    done: int | None = None
    total: int | None = None
    activity: str | None = None
    cause: str | None = None

    @property
    def live(self) -> bool:
        """Whether the task is held by this attempt."""
        return self.state in LIVE
