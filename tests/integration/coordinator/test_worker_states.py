"""What workers are asked for: quarantine, deadlines, what they come back to, what they refuse."""

from dataclasses import dataclass
from typing import Any

import pytest

from coordinator.operations import states
from coordinator.operations.ledger import Ledger, Wanted
from coordinator.operations.requests import Changed, ConflictError, Request, RequestWorkerState
from coordinator.operations.table import OPERATIONS, Operation
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
