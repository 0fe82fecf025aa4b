"""What becomes of workers by time: schedules, deadlines, idleness, and the end of those that are long gone.

Each is decided anew from the rows, so that it does no harm when two coordinators do it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from coordinator.domain.asking import Ask, Source
from coordinator.domain.idle import ANSWER_S, Activity, IdleAction, judge
from coordinator.domain.protocol import cannot
from coordinator.domain.sleep import DAYS, Range, Schedule, asleep_at, minute, next_transition
from coordinator.domain.worker import PRESENT, Asked, Duty, Worker, fulfilled
from coordinator.operations import states
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import (
    Changed,
    ConflictError,
    RemoveWorker,
    SetIdleDefault,
    SetIdlePolicy,
    SetSleepSchedule,
)

SCHEDULE: Final = "sleep schedule"
IDLE: Final = "idle policy"


@dataclass(frozen=True)
class Tend:
    """The duty of each second: sleep schedules and deadlines of requests."""


@dataclass(frozen=True)
class TendIdle:
    """The duty of each quarter of a minute: workers with nothing to do."""


@dataclass(frozen=True)
class RemoveGone:
    """The duty of each hour: workers that have been gone for so long are removed."""

    after: timedelta


def tend(ledger: Ledger, _: Tend) -> None:
    """Do what is due."""
    for name in ledger.tended.due:
        worker = ledger.workers.get(name)
        if worker is None:
            continue
        if worker.sleep_next_at is not None and worker.sleep_next_at <= ledger.now:
            follow_schedule(ledger, worker)
        if worker.requested_deadline_at is not None and worker.requested_deadline_at <= ledger.now:
            _pass_deadline(ledger, worker)


# --- sleep -------------------------------------------------------------------------------------------------


def schedule_of(stored: Mapping[str, Any]) -> Schedule:
    """The schedule in a worker's row."""
    ranges = (
        Range(frozenset(map(DAYS.index, one["days"])), minute(one["start"]), minute(one["end"]))
        for one in stored["asleep"]
    )
    return Schedule(stored["zone"], tuple(ranges))


def follow_schedule(ledger: Ledger, worker: Worker) -> None:
    """Ask for what the schedule says from now on, unless an operator has put the worker aside."""
    ledger.dirty_workers.add(worker.id)
    stored = worker.sleep_schedule
    if stored is None:
        worker.sleep_next_at = None
        return
    schedule = schedule_of(stored)
    change = next_transition(schedule, ledger.now)
    worker.sleep_next_at = change.at if change else None
    state = Asked.ASLEEP if asleep_at(schedule, ledger.now) else Asked.AWAKE
    if _has(worker, state):
        return
    lazy, within_s = bool(stored["lazy"]), stored["within_s"]
    deadline = ledger.now + timedelta(seconds=within_s) if lazy and within_s and state is Asked.ASLEEP else None
    states.ask(ledger, worker, Ask(state, Source.SCHEDULE, SCHEDULE, ledger.now, None, lazy, deadline))


def _has(worker: Worker, state: Asked) -> bool:
    """Whether the schedule has nothing to ask for: it is so, and by the schedule's own will."""
    if state is Asked.AWAKE:
        return worker.requested_state is None and worker.resume is None and worker.duty is Duty.AWAKE
    return worker.requested_state == state and worker.requested_source == Source.SCHEDULE


def set_schedule(ledger: Ledger, request: SetSleepSchedule) -> Changed:
    """Give a worker a schedule, or take it away; it holds at once, whatever an operator said before."""
    worker = states.find(ledger, request.worker)
    if request.schedule is not None and (impossible := cannot(worker, Asked.ASLEEP)):
        raise ConflictError(impossible)
    if request.schedule is None and worker.sleep_schedule is None:
        return Changed(0)
    worker.sleep_schedule = dict(request.schedule) if request.schedule is not None else None
    ledger.note_worker("worker.schedule_set", worker.id, actor=request.actor, detail={"schedule": request.schedule})
    follow_schedule(ledger, worker)
    if request.schedule is None and worker.requested_source == Source.SCHEDULE:
        states.ask(ledger, worker, Ask(Asked.AWAKE, Source.SCHEDULE, SCHEDULE, ledger.now, "it has none any more"))
    return Changed(1)


# --- deadlines ---------------------------------------------------------------------------------------------


def _pass_deadline(ledger: Ledger, worker: Worker) -> None:
    """What was to be done by now goes on at once; a question that was not answered is taken back."""
    state = worker.requested_state
    if worker.requested_source == Source.IDLE:
        worker.idle_refused_at = ledger.now
        ledger.note_worker(f"worker.{state}_unanswered", worker.id, actor=IDLE)
        states.forget(ledger, worker)
        return
    ledger.dirty_workers.add(worker.id)
    worker.requested_deadline_at = None
    if state is not None and fulfilled(state, worker.duty) and not ledger.held[worker.id]:
        return  # it was in time
    worker.requested_lazy = False
    ledger.note_worker(
        "worker.deadline_passed",
        worker.id,
        actor=worker.requested_by,
        detail={"state": state, "held": len(ledger.held[worker.id])},
    )
    if worker.connection in PRESENT:
        ledger.outgoing.requests.add(worker.id)


# --- idleness ----------------------------------------------------------------------------------------------


def tend_idle(ledger: Ledger, _: TendIdle) -> None:
    """Tell of idle workers, or ask them to stop."""
    for name, row in ledger.tended.idle.items():
        worker = ledger.workers[name]
        activity = Activity(len(ledger.held[name]), row.open_sessions, row.active_at)
        action = judge(worker, activity, row.policy, ledger.now)
        if action is IdleAction.STOP and cannot(worker, Asked.OFFLINE):
            action = judge(worker, activity, replace(row.policy, action=IdleAction.NOTIFY), ledger.now)
        if action is IdleAction.OFF:
            continue
        minutes = round(row.policy.after_s / 60, 1)
        worker.idle_noted_at = ledger.now
        ledger.dirty_workers.add(name)
        ledger.counted["idle", action] += 1
        if action is IdleAction.NOTIFY:
            ledger.note_worker("worker.idle", name, actor=IDLE, detail={"minutes": minutes})
            continue
        deadline = ledger.now + timedelta(seconds=ANSWER_S)
        reason = f"idle for {minutes:g} minutes"
        states.ask(ledger, worker, Ask(Asked.OFFLINE, Source.IDLE, IDLE, ledger.now, reason, deadline_at=deadline))


def set_idle_policy(ledger: Ledger, request: SetIdlePolicy) -> Changed:
    """Give a worker a policy of its own, or let it have the farm's."""
    worker = states.find(ledger, request.worker)
    stops = request.policy is not None and request.policy.action is IdleAction.STOP
    if stops and (impossible := cannot(worker, Asked.OFFLINE)):
        raise ConflictError(f"{impossible}; it can be told of: --notify")
    worker.idle_action = request.policy.action.value if request.policy else None
    worker.idle_after_s = request.policy.after_s if request.policy else None
    worker.idle_noted_at = None
    ledger.dirty_workers.add(worker.id)
    detail = {"action": worker.idle_action or "as the farm's", "after_s": worker.idle_after_s}
    ledger.note_worker("worker.idle_policy_set", worker.id, actor=request.actor, detail=detail)
    return Changed(1)


def set_idle_default(ledger: Ledger, request: SetIdleDefault) -> Changed:
    """The policy of all workers that have none of their own."""
    ledger.tended.idle_default = request.policy
    detail = {"action": request.policy.action.value, "after_s": request.policy.after_s}
    ledger.note_farm("farm.idle_policy_set", actor=request.actor, detail=detail)
    return Changed(1)


# --- removal -----------------------------------------------------------------------------------------------


def remove(ledger: Ledger, request: RemoveWorker) -> Changed:
    """Forget a worker that is gone. What it did stays in the history."""
    worker = states.find(ledger, request.worker)
    if worker.connection in PRESENT:
        raise ConflictError(
            f"worker {worker.id} is {worker.connection}; stop it first: farmhand workers stop {worker.id}"
        )
    if ledger.held[worker.id]:
        raise ConflictError(f"worker {worker.id} still holds {len(ledger.held[worker.id])}; wait until that has ended")
    _remove(ledger, worker, request.actor, request.reason)
    return Changed(1)


def remove_gone(ledger: Ledger, event: RemoveGone) -> None:
    """Forget the workers that have been gone for long."""
    for name in ledger.tended.gone:
        worker = ledger.workers[name]
        if (
            worker.connection not in PRESENT
            and not ledger.held[name]
            and ledger.now - ledger.last_seen[name] >= event.after
        ):
            _remove(ledger, worker, "farmhand", f"gone for {event.after.days} days")


def _remove(ledger: Ledger, worker: Worker, actor: str, reason: str | None) -> None:
    seen = ledger.last_seen[worker.id].isoformat()
    ledger.note_worker("worker.removed", worker.id, actor=actor, detail={"reason": reason, "last_seen": seen})
    ledger.forget_worker(worker.id)
