"""What workers are asked for: quarantine, deadlines, what they come back to, what they refuse."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from coordinator.domain.idle import IdleAction, IdlePolicy
from coordinator.operations import states
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import (
    Changed,
    ConflictError,
    RemoveWorker,
    Request,
    RequestWorkerState,
    SetIdleDefault,
    SetIdlePolicy,
    SetSleepSchedule,
)
from coordinator.operations.table import OPERATIONS, Operation
from coordinator.operations.tending import RemoveGone, TendIdle
from coordinator.operations.wanted import Wanted
from schemas.task import Held, Phase
from schemas.worker import Duty, RequestedState, WorkerOffline, WorkerStateChanged
from tests.support.farm import Farm
from tests.support.wire import WireWorker


def asks(state: RequestedState) -> Any:
    """A command that asks for this state."""
    return lambda one: one.type == "request_state" and one.state is state


@dataclass(frozen=True)
class Quarantine(Request[Changed]):
    """What a rule does that finds a worker unfit."""

    worker: str


def _apply(ledger: Ledger, request: Quarantine) -> Changed:
    worker = ledger.workers[request.worker]
    return Changed(int(states.quarantine(ledger, worker, by="health", reason="fails everywhere")))


@pytest.fixture
def rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule of a test's own in the inbox's table."""

    def want(wanted: Wanted, request: Quarantine) -> None:
        wanted.workers.add(request.worker)

    monkeypatch.setitem(OPERATIONS, Quarantine, Operation(want, _apply))


@pytest.mark.usefixtures("rule")
async def test_a_quarantine_holds_at_once_outlives_a_restart_and_ends_by_an_operator(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        assert await farm.desk.ask(Quarantine("node-1")) == Changed(1)
        assert await farm.desk.ask(Quarantine("node-1")) == Changed(0)
        job = await farm.submit({})
        rows = await farm.rows("SELECT duty, reason FROM workers")
        assert tuple(rows[0]) == ("quarantined", "fails everywhere"), "whatever the worker says"
        await worker.hear(asks(RequestedState.QUARANTINED))
        await worker.beat(duty=Duty.AWAKE)
        await worker.hear(asks(RequestedState.QUARANTINED))
    async with WireWorker(farm.amqp_url, "node-1") as reborn:
        await reborn.online()
        await reborn.hear(asks(RequestedState.QUARANTINED))
        assert (await farm.rows("SELECT duty FROM workers"))[0][0] == "quarantined"
        await reborn.say(WorkerStateChanged(duty=Duty.QUARANTINED))
        assert [row[0] for row in await farm.rows("SELECT state FROM tasks")] == ["ready"]

        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.AWAKE, "ana", only_from="quarantined"))
        await reborn.hear(asks(RequestedState.AWAKE))
        await reborn.say(WorkerStateChanged(duty=Duty.AWAKE))

        assert (await reborn.assigned()).job == job.job
        with pytest.raises(ConflictError, match="node-1 is not quarantined; it is awake"):
            await farm.desk.ask(RequestWorkerState("node-1", RequestedState.AWAKE, "ana", only_from="quarantined"))


async def test_a_worker_that_was_drained_comes_back_drained_after_a_restart(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", can_restart=True) as worker:
        await worker.online()
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.DRAIN, "ana", reason="fan"))
        await worker.say(WorkerStateChanged(duty=Duty.DRAINING))
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.RESTART, "bob"))
        await worker.hear(asks(RequestedState.RESTART))
        await worker.say(WorkerOffline(reason="asked to restart", duty=Duty.DRAINING))
    async with WireWorker(farm.amqp_url, "node-1", can_restart=True) as reborn:
        await reborn.online()

        request = await reborn.hear(lambda one: one.type == "request_state")

        assert (request.state, request.reason, request.actor) == (RequestedState.DRAIN, "fan", "ana")


async def test_a_worker_that_slept_by_its_own_will_before_a_clean_stop_comes_back_to_that(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await worker.say(WorkerOffline(reason="reboot", duty=Duty.ASLEEP))
    async with WireWorker(farm.amqp_url, "node-2") as other:
        await other.online()
        await other.say(WorkerOffline(reason="reboot", duty=Duty.AWAKE))
    for name, wish in (("node-1", "asleep"), ("node-2", None)):
        await farm.until("SELECT connection = 'offline' FROM workers WHERE id = $1", name)
        async with WireWorker(farm.amqp_url, name) as reborn:
            await reborn.online()
            rows = await farm.rows("SELECT requested_state FROM workers WHERE id = $1", name)
            assert rows[0][0] == wish


async def test_a_request_to_go_that_is_refused_is_not_made_again(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.OFFLINE, "ana"))
        await worker.hear(asks(RequestedState.OFFLINE))

        await worker.say(WorkerStateChanged(duty=Duty.AWAKE, reason="busy again", refused=RequestedState.OFFLINE))
        await farm.submit({})

        await worker.assigned()
        rows = await farm.rows("SELECT detail ->> 'reason' FROM history WHERE event = 'worker.offline_refused'")
        assert rows[0][0] == "busy again"


async def test_what_was_asked_for_at_once_is_told_until_the_work_is_handed_back(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.DRAIN, "ana", lazy=False))
        await worker.hear(asks(RequestedState.DRAIN))

        await worker.beat(duty=Duty.DRAINING, holds=[Held(task=attempt.task, attempt=1, phase=Phase.RUNNING)])

        assert not (await worker.hear(asks(RequestedState.DRAIN))).lazy


# --- by time -----------------------------------------------------------------------------------------------


async def test_a_lazy_request_goes_on_at_once_when_its_deadline_has_passed(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.DRAIN, "ana", within_s=3600))
        assert (await worker.hear(asks(RequestedState.DRAIN))).lazy
        await worker.say(WorkerStateChanged(duty=Duty.DRAINING))
        await farm.until("SELECT duty = 'draining' AND requested_lazy FROM workers")

        await farm.rows("UPDATE workers SET requested_deadline_at = farm_now()")

        assert not (await worker.hear(asks(RequestedState.DRAIN))).lazy
        rows = await farm.rows("SELECT actor, detail ->> 'held' FROM history WHERE event = 'worker.deadline_passed'")
        assert tuple(rows[0]) == ("ana", "1")


def a_schedule(zone: str, *ranges: tuple[str, str]) -> dict[str, Any]:
    """Asleep daily within *ranges*."""
    listed = [{"days": [], "start": start, "end": end} for start, end in ranges]
    return {"zone": zone, "asleep": listed, "lazy": True, "within_s": None}


ALWAYS = a_schedule("Europe/Berlin", ("00:00", "24:00"))


async def test_a_worker_sleeps_by_its_schedule_until_an_operator_or_the_next_change_wakes_it(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(SetSleepSchedule("node-1", ALWAYS, "ana"))
        asked = await worker.hear(asks(RequestedState.ASLEEP))
        assert (asked.lazy, asked.actor) == (True, "sleep schedule")
        await worker.say(WorkerStateChanged(duty=Duty.ASLEEP))
        await farm.until("SELECT duty = 'asleep' FROM workers")

        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.AWAKE, "bob"))
        await worker.hear(asks(RequestedState.AWAKE))
        await worker.say(WorkerStateChanged(duty=Duty.AWAKE))
        await farm.until("SELECT duty = 'awake' AND requested_state IS NULL FROM workers")
        await farm.submit({})
        await worker.assigned()

        await farm.rows("UPDATE workers SET sleep_next_at = farm_now()")  # the next change
        await worker.hear(asks(RequestedState.ASLEEP))


async def test_a_schedule_wakes_whom_it_or_an_operator_put_to_sleep_and_nobody_who_was_put_aside(farm: Farm) -> None:
    never = a_schedule("UTC")
    for name, state, woken in (("node-1", RequestedState.ASLEEP, True), ("node-2", RequestedState.DRAIN, False)):
        async with WireWorker(farm.amqp_url, name) as worker:
            await worker.online()
            await farm.desk.ask(RequestWorkerState(name, state, "ana", reason="fan"))
            await farm.desk.ask(SetSleepSchedule(name, never, "ana"))
            rows = await farm.rows("SELECT requested_state, requested_source FROM workers WHERE id = $1", name)
            assert tuple(rows[0]) == (("awake", "schedule") if woken else (state.value, "operator"))


async def test_a_schedule_that_is_taken_away_lets_the_worker_wake(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(SetSleepSchedule("node-1", ALWAYS, "ana"))
        await worker.hear(asks(RequestedState.ASLEEP))
        assert await farm.desk.ask(SetSleepSchedule("node-1", None, "ana")) == Changed(1)
        await worker.hear(asks(RequestedState.AWAKE))
        assert await farm.desk.ask(SetSleepSchedule("node-1", None, "ana")) == Changed(0)


# --- idleness ----------------------------------------------------------------------------------------------


async def idle(farm: Farm, worker: WireWorker, *, hours: float, sessions: int = 0) -> None:
    """Let *worker* say that it was last active so long ago, and have the duty look."""
    at = datetime.now(UTC) - timedelta(hours=hours)
    await worker.beat(last_activity_at=at, open_sessions=sessions)
    await farm.until(
        "SELECT last_activity_at IS NOT NULL AND open_sessions = $2 FROM worker_liveness WHERE worker_id = $1",
        worker.name,
        sessions,
    )
    farm.coordinator.inbox.post(TendIdle())


async def test_an_idle_worker_is_asked_to_stop_and_may_refuse(farm: Farm) -> None:
    await farm.desk.ask(SetIdleDefault(IdlePolicy(IdleAction.STOP, 1800), "ana"))
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await idle(farm, worker, hours=2)
        asked = await worker.hear(asks(RequestedState.OFFLINE))
        assert (asked.if_idle, asked.actor, asked.reason) == (True, "idle policy", "idle for 30 minutes")

        await worker.say(WorkerStateChanged(duty=Duty.AWAKE, reason="a guest", refused=RequestedState.OFFLINE))

        await farm.until("SELECT requested_state IS NULL AND idle_refused_at IS NOT NULL FROM workers")
        await idle(farm, worker, hours=2)
        await farm.submit({})
        await worker.assigned()
        events = [row[0] for row in await farm.rows("SELECT event FROM history WHERE worker_id = 'node-1' ORDER BY id")]
        assert events.count("worker.offline_requested") == 1


async def test_a_question_that_is_not_answered_is_taken_back(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(SetIdlePolicy("node-1", IdlePolicy(IdleAction.STOP, 60), "ana"))
        await idle(farm, worker, hours=2)
        await worker.hear(asks(RequestedState.OFFLINE))
        await farm.rows("UPDATE workers SET requested_deadline_at = farm_now()")

        await farm.until("SELECT requested_state IS NULL FROM workers")

        await farm.submit({})
        await worker.assigned()


async def test_who_has_sessions_or_does_not_say_when_it_was_active_is_not_stopped(farm: Farm) -> None:
    await farm.desk.ask(SetIdleDefault(IdlePolicy(IdleAction.STOP, 60), "ana"))
    async with WireWorker(farm.amqp_url, "node-1") as guests, WireWorker(farm.amqp_url, "node-2") as silent:
        await guests.online()
        await silent.online()
        await idle(farm, guests, hours=2, sessions=1)
        await farm.desk.ask(SetIdleDefault(IdlePolicy(IdleAction.STOP, 60), "ana"))  # after the duty has looked
        assert [row[0] for row in await farm.rows("SELECT requested_state FROM workers")] == [None, None]


async def test_that_a_worker_is_idle_is_told_once(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(SetIdlePolicy("node-1", IdlePolicy(IdleAction.NOTIFY, 60), "ana"))
        for _ in range(3):
            await idle(farm, worker, hours=2)
        await farm.until("SELECT count(*) = 1 FROM history WHERE event = 'worker.idle'")
        await farm.desk.ask(SetIdlePolicy("node-1", None, "ana"))
        assert len(await farm.rows("SELECT 1 FROM history WHERE event = 'worker.idle'")) == 1


# --- clones and removal ------------------------------------------------------------------------------------


async def test_two_agents_that_take_turns_under_one_name_are_quarantined(farm: Farm) -> None:
    lives = [uuid4(), uuid4()]
    for number in range(5):
        async with WireWorker(farm.amqp_url, "node-1", instance=lives[number % 2]) as worker:
            worker.seq = number * 10
            await worker.online()
            asked = (await farm.rows("SELECT requested_state FROM workers"))[0][0]
            assert asked == ("quarantined" if number == 4 else None)
            if asked:
                request = await worker.hear(asks(RequestedState.QUARANTINED))
                assert not request.lazy
                assert request.reason is not None
                assert "two agents take turns" in request.reason


async def test_a_worker_that_is_gone_can_be_removed_and_comes_back_as_a_new_one(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        with pytest.raises(ConflictError, match="node-1 is online; stop it first"):
            await farm.desk.ask(RemoveWorker("node-1", "ana"))
        await worker.say(WorkerOffline())
        await farm.until("SELECT connection = 'offline' FROM workers")
    await farm.desk.ask(RemoveWorker("node-1", "ana", "scrapped"))
    assert await farm.rows("SELECT 1 FROM workers") == []
    story = [row[0] for row in await farm.rows("SELECT event FROM history WHERE worker_id = 'node-1' ORDER BY id")]
    assert story == ["worker.online", "worker.offline", "worker.removed"]
    async with WireWorker(farm.amqp_url, "node-1") as reborn:
        await reborn.online()
        assert reborn.epoch == 1


async def test_workers_that_are_long_gone_are_removed(farm: Farm) -> None:
    for name in ("node-1", "node-2"):
        async with WireWorker(farm.amqp_url, name) as worker:
            await worker.online()
            await worker.say(WorkerOffline())
    await farm.until("SELECT count(*) = 2 FROM workers WHERE connection = 'offline'")
    await farm.rows(
        "UPDATE worker_liveness SET last_seen_at = farm_now() - interval '8 days' WHERE worker_id = 'node-1'"
    )

    farm.coordinator.inbox.post(RemoveGone(timedelta(days=7)))

    await farm.until("SELECT count(*) = 1 FROM workers")
    rows = await farm.rows("SELECT worker_id, actor FROM history WHERE event = 'worker.removed'")
    assert tuple(rows[0]) == ("node-1", "farmhand")
