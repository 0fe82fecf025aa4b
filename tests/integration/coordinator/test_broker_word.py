"""The broker's own word on a worker's connection: suspect at once, lost after the grace, nothing for anybody else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from schemas.task import AssignedAttempt, AttemptRef, Held, Phase, Verdict
from schemas.worker import Duty, WorkerOffline, WorkerOnline
from tests.support.farm import Farm, running
from tests.support.services import name_of
from tests.support.wire import WireWorker

HEARS = "SELECT bool_and(hears_broker AND events_at > started_at AND heartbeats_at > started_at) FROM coordinators"
LOST = "SELECT connection = 'lost' FROM workers WHERE id = 'node-1'"


@asynccontextmanager
async def listening(database_url: str, amqp_url: str, grace_s: float, **more: object) -> AsyncIterator[Farm]:
    """A farm with one coordinator that has the broker's word."""
    settings = {"reconnect_grace_s": grace_s, "coordinator_id": f"one-{uuid4().hex[:8]}"} | more
    async with running(database_url, amqp_url, **settings) as farm:
        await farm.until(HEARS)
        yield farm


async def at_work(farm: Farm, worker: WireWorker) -> AssignedAttempt:
    """An attempt that *worker* runs."""
    await worker.online()
    await farm.submit({"retries": 0})
    attempt = await worker.assigned()
    await worker.start(attempt)
    await farm.until("SELECT state = 'running' FROM tasks")
    return attempt


async def test_without_a_grace_a_cut_workers_task_runs_elsewhere_at_once(database_url: str, amqp_url: str) -> None:
    async with (
        listening(database_url, amqp_url, 0.0) as farm,
        WireWorker(amqp_url, "node-1", named=True) as doomed,
        WireWorker(amqp_url, "node-2", named=True) as other,
    ):
        attempt = await at_work(farm, doomed)
        await other.online()

        await doomed.vanish()

        again = await other.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)
        story = await farm.rows("SELECT event, detail FROM history WHERE worker_id = 'node-1' ORDER BY id")
        assert [row["event"] for row in story if row["event"].startswith("worker.")] == [
            "worker.online",
            "worker.suspect",
            "worker.lost",
        ]
        losses = await farm.rows("SELECT failures, losses FROM tasks")
        assert tuple(losses[0]) == (0, 1)


async def test_whoever_is_back_within_the_grace_keeps_its_task_and_nothing_is_repeated(
    database_url: str, amqp_url: str
) -> None:
    async with (
        listening(database_url, amqp_url, 60.0) as farm,
        WireWorker(amqp_url, "node-1", named=True) as worker,
        WireWorker(amqp_url, "node-2", named=True) as other,
    ):
        attempt = await at_work(farm, worker)
        await other.online()
        await worker.vanish()
        await farm.until("SELECT connection = 'suspect' AND cut_at IS NOT NULL FROM workers WHERE id = 'node-1'")
        assert await farm.state(attempt.task) == "running"

        await worker.join()
        await worker.online(holds=[Held(task=attempt.task, attempt=1, phase=Phase.RUNNING)])

        row = (await farm.rows("SELECT connection, epoch, cut_at, suspect_at FROM workers WHERE id = 'node-1'"))[0]
        assert tuple(row) == ("online", 1, None, None)
        await worker.finish(attempt)
        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        assert (await farm.rows("SELECT count(*) FROM attempts"))[0][0] == 1
        assert "worker.back" in {row[0] for row in await farm.rows("SELECT event FROM history")}


async def test_whoever_is_not_back_when_the_grace_ends_is_lost_then_and_not_before(
    database_url: str, amqp_url: str
) -> None:
    async with (
        listening(database_url, amqp_url, 1.0) as farm,
        WireWorker(amqp_url, "node-1", named=True) as doomed,
        WireWorker(amqp_url, "node-2", named=True) as other,
    ):
        attempt = await at_work(farm, doomed)
        await other.online()
        await doomed.vanish()

        assert (await other.assigned()).task == attempt.task

        times = await farm.rows("SELECT event, at FROM history WHERE worker_id = 'node-1' AND event LIKE 'worker.%'")
        at = {row["event"]: row["at"] for row in times}
        assert (at["worker.lost"] - at["worker.suspect"]).total_seconds() >= 1.0


async def test_the_end_of_an_old_connection_says_nothing_of_the_new_one(database_url: str, amqp_url: str) -> None:
    async with listening(database_url, amqp_url, 0.0) as farm, WireWorker(amqp_url, "node-1", named=True) as worker:
        await at_work(farm, worker)
        other = WireWorker(amqp_url, "node-9", named=True)
        await worker.say_online_without_waiting(connection="w/node-1/another/c7")
        await farm.until("SELECT connection_name = 'w/node-1/another/c7' FROM workers WHERE id = 'node-1'")

        await worker.vanish()
        async with other:
            await other.online()
            await other.vanish()
            await farm.until("SELECT connection = 'lost' FROM workers WHERE id = 'node-9'")

        # The broker told of the ends in their order: that of node-1 was heard before.
        assert (await farm.rows("SELECT connection FROM workers WHERE id = 'node-1'"))[0][0] == "online"


async def test_a_goodbye_stays_a_goodbye_when_the_connection_closes_after_it(database_url: str, amqp_url: str) -> None:
    async with listening(database_url, amqp_url, 0.0) as farm, WireWorker(amqp_url, "node-1", named=True) as worker:
        attempt = await at_work(farm, worker)
        back = [AttemptRef(task=attempt.task, attempt=1)]
        await worker.say(WorkerOffline(reason="night", duty=Duty.AWAKE, handed_back=back))
        await farm.until("SELECT connection = 'offline' FROM workers")
        await worker.vanish()
        async with WireWorker(amqp_url, "node-9", named=True) as other:
            await other.online()
            await other.vanish()
            await farm.until("SELECT connection = 'lost' FROM workers WHERE id = 'node-9'")
        assert (await farm.rows("SELECT connection FROM workers WHERE id = 'node-1'"))[0][0] == "offline"


async def test_who_says_to_be_online_on_a_connection_that_has_closed_is_not_believed(
    database_url: str, amqp_url: str
) -> None:
    async with listening(database_url, amqp_url, 0.0) as farm, WireWorker(amqp_url, "node-9", named=True) as other:
        await other.online()
        dead = WireWorker(amqp_url, "node-1", named=True)
        await dead.join()
        await dead.vanish()
        await other.vanish()
        await farm.until("SELECT connection = 'lost' FROM workers WHERE id = 'node-9'")
        async with WireWorker(amqp_url, "node-1", named=True) as reborn:
            attempt = await at_work(farm, reborn)

            # What the dead one said before comes now, as after a coordinator that held it for long.
            said = WorkerOnline(
                boot_id="boot", software="wire 1", kinds=["echo"], queues=["default"], connection=dead.connection
            )
            await reborn.say(said, instance=dead.instance, epoch=0)
            await reborn.finish(attempt)

            assert await reborn.verdict(attempt) is Verdict.ACCEPTED
            assert (await farm.rows("SELECT epoch FROM workers WHERE id = 'node-1'"))[0][0] == 1


async def test_a_death_while_no_coordinator_listened_is_never_read_and_noticed_by_silence(
    database_url: str, amqp_url: str
) -> None:
    async with listening(database_url, amqp_url, 0.0) as farm:
        worker = WireWorker(amqp_url, "node-1", named=True)
        await worker.join()
        await at_work(farm, worker)
    await worker.vanish()
    async with (
        listening(database_url, amqp_url, 0.0, hurried=True) as farm,
        WireWorker(amqp_url, "node-2", named=True) as other,
    ):
        await farm.until(LOST)
        await other.online()

        assert (await other.assigned()).attempt == 2
        why = (await farm.rows("SELECT reason FROM workers WHERE id = 'node-1'"))[0][0]
        assert why.startswith("silent for ")


async def test_of_two_coordinators_each_hears_and_the_loss_happens_once(database_url: str, amqp_url: str) -> None:
    async with (
        listening(database_url, amqp_url, 0.0) as farm,
        listening(database_url, amqp_url, 0.0),
        WireWorker(amqp_url, "node-1", named=True) as doomed,
        WireWorker(amqp_url, "node-2", named=True) as other,
    ):
        await at_work(farm, doomed)
        await other.online()
        await doomed.vanish()

        assert (await other.assigned()).attempt == 2

        await farm.until("SELECT count(*) = 2 FROM coordinators")
        assert (await farm.rows("SELECT count(*) FROM history WHERE event = 'worker.lost'"))[0][0] == 1
        assert (await farm.rows("SELECT count(*) FROM attempts"))[0][0] == 2


@pytest.mark.parametrize("vhost", ["", "nowhere", "of the farm"])
async def test_without_the_brokers_word_a_death_is_noticed_by_silence(
    vhost: str, database_url: str, amqp_url: str
) -> None:
    """It is not asked for; there is no such virtual host; there is no such exchange in it, as without the plugin."""
    named = name_of(amqp_url) if vhost == "of the farm" else vhost
    async with (
        running(database_url, amqp_url, hurried=True, broker_events_vhost=named) as farm,
        WireWorker(amqp_url, "node-1", named=True) as doomed,
        WireWorker(amqp_url, "node-2", named=True) as other,
    ):
        await at_work(farm, doomed)
        await doomed.vanish()
        await farm.until(LOST)
        await other.online()

        assert (await other.assigned()).attempt == 2
        assert (await farm.rows("SELECT reason FROM workers WHERE id = 'node-1'"))[0][0].startswith("silent for ")
        assert not (await farm.rows("SELECT hears_broker FROM coordinators"))[0][0]
