"""When a task may start, by when it must be done, and how long an attempt may run or be silent. Pure: time is given.

A moment is an instant, or a delay in seconds from the submission. An attempt is watched when its task limits how long
it may run (`max_run_s`, from its start) or how long it may be silent (`no_progress_s`, from its last sign: its start,
its progress, its log).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from coordinator.domain.task import TaskState


@dataclass(frozen=True, slots=True)
class Times:
    """What a task says about time; what is None does not matter."""

    not_before: datetime | None = None
    deadline: datetime | None = None
    max_run_s: float | None = None
    no_progress_s: float | None = None

    @property
    def watched(self) -> bool:
        """Whether its attempts have to be looked after."""
        return self.max_run_s is not None or self.no_progress_s is not None


@dataclass(frozen=True, slots=True)
class Overdue:
    """An attempt has had its time: the cause as retries know it, and the words for people."""

    cause: str
    words: str


def instant(moment: datetime | float | None, now: datetime) -> datetime | None:
    """When *moment* is; a delay counts from *now*."""
    return now + timedelta(seconds=moment) if isinstance(moment, int | float) else moment


def fault(times: Times, now: datetime) -> str | None:
    """Why a task with these times can never be done, if so."""
    if times.deadline is None:
        return None
    if times.deadline <= now:
        return f"its deadline {told(times.deadline)} has passed already"
    if times.not_before is not None and times.deadline <= times.not_before:
        return f"its deadline {told(times.deadline)} is not after its start {told(times.not_before)}"
    return None


def first_state(times: Times, now: datetime, *, unmet: int) -> TaskState:
    """Where a new task begins."""
    if times.deadline is not None and times.deadline <= now:
        return TaskState.FAILED
    if unmet:
        return TaskState.BLOCKED
    if times.not_before is not None and times.not_before > now:
        return TaskState.SCHEDULED
    return TaskState.READY


def missed(deadline: datetime) -> str:
    """Why a task has failed that was not done in time."""
    return f"its deadline {told(deadline)} has passed"


def overdue(times: Times, started_at: datetime, heard_at: datetime, now: datetime) -> Overdue | None:
    """Whether an attempt that runs since *started_at* and gave its last sign at *heard_at* has had its time."""
    if times.max_run_s is not None and now - started_at >= timedelta(seconds=times.max_run_s):
        return Overdue("time", f"it ran longer than the {times.max_run_s:g} s allowed (max_run_s)")
    if times.no_progress_s is not None and now - heard_at >= timedelta(seconds=times.no_progress_s):
        return Overdue("stalled", f"no log and no progress for {times.no_progress_s:g} s (no_progress_s)")
    return None


def look_at(times: Times, started_at: datetime, heard_at: datetime) -> datetime | None:
    """When to look at such an attempt again: before that it cannot be overdue, then it is unless it gave a sign."""
    ends = []
    if times.max_run_s is not None:
        ends.append(started_at + timedelta(seconds=times.max_run_s))
    if times.no_progress_s is not None:
        ends.append(heard_at + timedelta(seconds=times.no_progress_s))
    return min(ends, default=None)


def told(at: datetime) -> str:
    """An instant in words."""
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
