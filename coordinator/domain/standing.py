"""What a task itself says of why it does not run: it is done, it runs, it waits for others or for its time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from coordinator.domain.guards import Freeze, deaf
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
class Road:
    """How it stands between the farm and its workers: when each coordinator last took something from its queues, since
    when the broker takes nothing, and the freeze that holds back the loss of the task's worker."""

    coordinators: Sequence[tuple[str, datetime]] = ()
    blocked_since: datetime | None = None
    freeze: Freeze | None = None


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
    log_silent_s: float = 0.0  # how long its log has been silent
    usual_s: float | None = None  # what 95 % of the tasks like it took at most
    need_rest_s: float | None = None  # how long its first dependency will go on, if that can be guessed
    road: Road = Road()


def own_reasons(at: Standing) -> Iterator[Found]:
    """What holds the task back by itself, whoever may be free."""
    yield from _delivery(at)
    match at.state:
        case TaskState.RUNNING:
            if at.usual_s is not None and min(_held_s(at), at.log_silent_s) > at.usual_s:
                usual = {"silent": Seconds(at.log_silent_s), "usual": Seconds(at.usual_s)}
                yield Found(Reason.QUIET, {**_holder(at), **usual})
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


#: What needs the road between coordinator and worker to go on.
_TRAVELS: Final = (TaskState.READY, TaskState.ASSIGNED, TaskState.RUNNING)


def _delivery(at: Standing) -> Iterator[Found]:
    """What is wrong with the road."""
    road = at.road
    if at.state in _TRAVELS and (silent := deaf(road.coordinators, at.now)):
        since = min(heard for name, heard in road.coordinators if name in silent)
        facts = {"deaf": Count(len(silent)), "coordinators": Count(len(road.coordinators)), "since": since}
        yield Found(Reason.COORDINATOR_PAUSED, {**facts, "seconds": _ago(at, since)})
    if at.state in _TRAVELS and road.blocked_since is not None:
        since = road.blocked_since
        yield Found(Reason.BROKER_BLOCKED, {"seconds": _ago(at, since), "since": since})
    if at.silent_s is not None:
        yield Found(Reason.UNHEARD, {"worker": at.worker, "silent": Seconds(at.silent_s)})
        if (freeze := road.freeze) is not None:
            counts = {"suspects": Count(freeze.suspects), "workers": Count(freeze.workers)}
            facts = {"zone": freeze.zone, "seconds": _ago(at, freeze.since), "since": freeze.since}
            yield Found(Reason.EXPIRY_FROZEN, {**counts, **facts})


def _ago(at: Standing, since: datetime) -> Seconds:
    return Seconds(max(timedelta(0), at.now - since).total_seconds())


def _held_s(at: Standing) -> float:
    return (at.now - at.since).total_seconds() if at.since else 0.0


def _holder(at: Standing) -> dict[str, object]:
    return {"task": at.task, "worker": at.worker, "seconds": Seconds(max(0, round(_held_s(at)))), "since": at.since}


def _time(at: Standing, reason: Reason) -> Found:
    seconds = max(0, round((at.not_before - at.now).total_seconds())) if at.not_before else 0
    facts = {"task": at.task, "seconds": Seconds(seconds), "failures": Count(at.ends), "worker": at.worker}
    facts["start"] = f"{at.not_before:%Y-%m-%d %H:%M:%S} UTC" if at.not_before else "?"
    facts["because"] = f" ({at.reason})" if at.reason else ""
    return Found(reason, facts)


def _dependency(at: Standing) -> Found:
    need = at.need
    if need is None:
        facts = {"unmet": at.unmet, "needs": Count(at.unmet), "need": "?", "name": "?", "forecast": ""}
        return Found(Reason.DEPENDENCY, facts)
    rest = f", done in about {Seconds(at.need_rest_s)}" if at.need_rest_s is not None else ""
    facts = {"need": need.task, "name": need.name, "unmet": at.unmet, "needs": Count(need.needs), "forecast": rest}
    if need.state in (TaskState.FAILED, TaskState.CANCELED):
        ended = "failed" if need.state is TaskState.FAILED else "was canceled"
        return Found(Reason.DEPENDENCY_NEVER, {**facts, "ended": ended})
    return Found(Reason.PROMOTION if need.state is TaskState.COMPLETED else Reason.DEPENDENCY, facts)
