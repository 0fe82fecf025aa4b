"""What a task itself says of why it does not run: it is done, it runs, it waits for others or for its time."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from coordinator.domain.reason import Count, Reason, Seconds
from coordinator.domain.task import FINISHED, TaskState
from coordinator.domain.why import Found


@dataclass(frozen=True, slots=True)
class Need:
    """The dependency that stands most in a task's way, of `needs` in all."""

    task: int
    name: str
    state: TaskState
    needs: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a task stands at `now`. `worker` and `since` are those of its newest attempt, or of the lease until when
    an exclusive one may still run (`leased_until`)."""

    task: int
    state: TaskState
    now: datetime
    unmet: int = 0
    need: Need | None = None
    not_before: datetime | None = None
    ends: int = 0  # attempts that ended without a result and were not the farm's doing
    worker: str | None = None
    since: datetime | None = None
    leased_until: datetime | None = None
    reason: str | None = None  # why it waits, as it was written down
    silent_s: float | None = None  # how long its worker has not been heard from, when that is too long


def own_reasons(at: Standing) -> Iterator[Found]:
    """What holds the task back by itself, whoever may be free."""
    if at.silent_s is not None:
        yield Found(Reason.QUIET, {"worker": at.worker, "silent": Seconds(at.silent_s)})
    match at.state:
        case TaskState.RUNNING:
            yield Found(Reason.RUNNING, _holder(at))
        case TaskState.ASSIGNED:
            yield Found(Reason.UNDELIVERED, _holder(at))
        case TaskState.BLOCKED:
            yield _dependency(at)
            if at.not_before is not None and at.not_before > at.now:
                yield _time(at, Reason.NOT_BEFORE)
        case TaskState.PAUSED:
            yield Found(Reason.PAUSED_TASK, {"task": at.task, "paused": at.reason or "paused"})
        case TaskState.SCHEDULED if at.leased_until is not None and at.leased_until == at.not_before:
            yield _time(at, Reason.LEASED)
        case TaskState.SCHEDULED:
            yield _time(at, Reason.BACKOFF if at.ends else Reason.NOT_BEFORE)
        case state if state in FINISHED:
            yield Found(Reason.FINISHED, {"task": at.task, "state": state.value})


def _holder(at: Standing) -> dict[str, object]:
    seconds = max(0, round((at.now - at.since).total_seconds())) if at.since else 0
    return {"task": at.task, "worker": at.worker, "seconds": Seconds(seconds), "since": at.since}


def _time(at: Standing, reason: Reason) -> Found:
    seconds = max(0, round((at.not_before - at.now).total_seconds())) if at.not_before else 0
    facts = {"task": at.task, "seconds": Seconds(seconds), "failures": Count(at.ends), "worker": at.worker}
    facts["start"] = f"{at.not_before:%Y-%m-%d %H:%M:%S} UTC" if at.not_before else "?"
    facts["because"] = f" ({at.reason})" if at.reason else ""
    return Found(reason, facts)


def _dependency(at: Standing) -> Found:
    need = at.need
    if need is None:
        return Found(Reason.DEPENDENCY, {"unmet": at.unmet, "needs": Count(at.unmet), "need": "?", "name": "?"})
    facts = {"need": need.task, "name": need.name, "unmet": at.unmet, "needs": Count(need.needs)}
    if need.state in (TaskState.FAILED, TaskState.CANCELED):
        ended = "failed" if need.state is TaskState.FAILED else "was canceled"
        return Found(Reason.DEPENDENCY_NEVER, {**facts, "ended": ended})
    return Found(Reason.PROMOTION if need.state is TaskState.COMPLETED else Reason.DEPENDENCY, facts)
