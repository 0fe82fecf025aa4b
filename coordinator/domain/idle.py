"""When a worker has had nothing to do for long, and what is done about it.

Busy is what the worker says: it holds something, has sessions open, or was active lately. Whoever does not say when it
was last active is never idle, nor is one that we do not hear, or that somebody has put aside: in doubt nothing is
stopped. And a stop is a question: the worker refuses when it is busy again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from coordinator.domain.worker import Asked, Connection, Duty, Worker

#: Seconds in which a worker has to answer the question, before it is taken back.
ANSWER_S: Final = 60.0
_MAY_IDLE: Final = frozenset({Duty.AWAKE, Duty.ASLEEP})
_MAY_STAND: Final = frozenset({None, Asked.AWAKE, Asked.ASLEEP})


class IdleAction(StrEnum):
    """What is done about an idle worker."""

    OFF = "off"
    NOTIFY = "notify"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class IdlePolicy:
    """What is done after how many seconds."""

    action: IdleAction
    after_s: float


@dataclass(frozen=True, slots=True)
class Activity:
    """What a worker has said of itself: `active_at` is its last activity on our clock."""

    holds: int
    open_sessions: int
    active_at: datetime | None


@dataclass(frozen=True, slots=True)
class IdleRow:
    """What the rows say of a worker that may be idle, and the policy that is in force for it."""

    open_sessions: int
    active_at: datetime | None
    policy: IdlePolicy


def idle_since(worker: Worker, activity: Activity) -> datetime | None:
    """Since when it has had nothing to do; None when that is not certain."""
    if worker.connection is not Connection.ONLINE or worker.duty not in _MAY_IDLE:
        return None
    if worker.requested_state not in _MAY_STAND or activity.holds or activity.open_sessions:
        return None
    if activity.active_at is None:
        return None
    return max(activity.active_at, worker.idle_refused_at or activity.active_at)


def judge(worker: Worker, activity: Activity, policy: IdlePolicy, now: datetime) -> IdleAction:
    """What is to be done about *worker* now. It is told once for each time that it is idle."""
    since = idle_since(worker, activity)
    if since is None or now - since < timedelta(seconds=policy.after_s):
        return IdleAction.OFF
    told = worker.idle_noted_at is not None and worker.idle_noted_at >= since
    if policy.action is IdleAction.NOTIFY and told:
        return IdleAction.OFF
    return policy.action
