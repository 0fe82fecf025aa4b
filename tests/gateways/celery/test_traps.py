"""What goes wrong with events, on a real broker: old ones, floods, reconnections (Celery's events as they are sent)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.bridge import realm_of
from coordinator.gateways.celery.translate import name_of
from coordinator.proof.celery_crowd import Crowd, SimulatedWorker, a_task
from coordinator.proof.proxy import Proxy
from tests.gateways.celery.calls import a_call
from tests.gateways.celery.conftest import QUEUES
from tests.gateways.celery.workers import connected, offers
from tests.gateways.conftest import Gates
from tests.support.farm import Farm, running


async def ready(farm: Farm, worker: SimulatedWorker) -> str:
    """A worker that can be given tasks; its name."""
    name = name_of(worker.hostname)
    await worker.say("worker-online")
    await offers(farm, name, "shop.add")
    return name


async def heard(farm: Farm, name: str, sql: str) -> None:
    """Wait until what it last said of itself is so."""
    await farm.until(f"SELECT true FROM worker_stats WHERE worker_id = $1 AND {sql}", name)


async def test_stale_events_never_revive_a_dead_worker(farm: Farm, crowd: Crowd) -> None:
    """They lay in a queue, or come late: their own time says so, whatever its clock is."""
    dead, other = crowd.worker("dead@host", pid=7), crowd.worker("other@host", pid=8)
    name = await ready(farm, dead)
    await dead.die()
    await Gates(farm).silent(name, 100)
    await connected(farm, name, "lost")
    for _ in range(5):
        await dead.say("worker-heartbeat", ago_s=60)
    await dead.say("worker-online", ago_s=50)
    await other.say("worker-online")
    await connected(farm, name_of(other.hostname))
    (row,) = await farm.rows("SELECT connection, epoch FROM workers WHERE id = $1", name)
    assert tuple(row) == ("lost", 1), "all that came before the other's word was heard, and said nothing"
    former = dead.event("worker-heartbeat", ago_s=60) | {"pid": 6}
    await crowd.publish(former, "worker.heartbeat")
    await crowd.publish(former | {"type": "worker-offline"}, "worker.offline")
    await dead.say("worker-heartbeat")
    await connected(farm, name)
    (row,) = await farm.rows("SELECT connection, platform FROM workers WHERE id = $1", name)
    assert (row["connection"], '"pid": 7' in row["platform"]) == ("online", True)


async def test_what_waited_for_a_coordinator_is_no_sign_of_life(database_url: str, amqp_url: str) -> None:
    async with running(database_url, amqp_url, gateways="celery") as farm, Crowd(amqp_url) as crowd:
        await crowd.heard(*QUEUES)
        name = await ready(farm, crowd.worker("was@host"))
    async with Crowd(amqp_url) as crowd:
        was, never, here = (crowd.worker(f"{one}@host") for one in ("was", "never", "here"))
        was.clock = 100
        for one in (was, never):
            one.alive = False
            for ago_s in range(600, 400, -2):
                await one.say("worker-heartbeat", ago_s=ago_s)
        async with running(database_url, amqp_url, gateways="celery") as farm:
            await here.say("worker-online")
            await connected(farm, name_of(here.hostname))
            assert not await farm.rows("SELECT 1 FROM workers WHERE id = $1", name_of(never.hostname))
            (row,) = await farm.rows("SELECT last_seq FROM worker_liveness WHERE worker_id = $1", name)
            told = was.event("worker-heartbeat")["timestamp"] * 1000 - row["last_seq"]
            assert told < 300_000, "nothing of what had waited was taken for a word of now"


async def test_who_says_nothing_by_itself_is_found_and_who_can_answer_is_given_work(
    database_url: str, amqp_url: str
) -> None:
    """`--without-heartbeat`: no `worker-*` (`worker/consumer/heart.py`); with `-E` it answers a remote `heartbeat`
    (`worker/control.py`), with `--without-gossip` and no `-E` its dispatcher is off for good."""
    async with Crowd(amqp_url) as crowd:
        mute, hoarse = crowd.worker("mute@host"), crowd.worker("hoarse@host", pid=8)
        hoarse.hoarse = True
        async with running(database_url, amqp_url, gateways="celery") as farm:
            await offers(farm, name_of(hoarse.hostname), "shop.add")
            await connected(farm, name_of(mute.hostname))
            rows = await farm.rows("SELECT kinds, heartbeat_s, lost_after_s FROM workers ORDER BY id")
            assert [tuple(row) for row in rows] == [(["shop.add"], 10.0, 50.0), ([], 10.0, 50.0)]
            await farm.submit(a_call("shop.add", 1, 2))
            assert await hoarse.next_task()


async def test_a_reconnection_never_loses_or_repeats_a_task(farm: Farm, crowd: Crowd) -> None:
    """What a worker could not send, its goodbye among it, comes before its new `worker-online`; its process is the
    same. Then a second goodbye that nothing follows: that one counts."""
    worker = crowd.worker("w@host")
    name = await ready(farm, worker)
    await farm.submit(a_call("shop.add", 1, 2))
    uuid = await worker.next_task()
    await worker.say_together(worker.event("task-received", uuid=uuid), worker.event("task-started", uuid=uuid))
    await farm.until("SELECT state = 'running' FROM tasks")
    await worker.say("worker-heartbeat", ago_s=12)
    await worker.say("worker-offline", ago_s=10)
    await worker.say("worker-online")
    await heard(farm, name, f"(stats ->> 'clock')::int = {worker.clock}")
    await crowd.worker("other@host", kinds=()).say("worker-online")
    await connected(farm, name_of("other@host"))
    started, ended = (
        worker.event("task-started", uuid=uuid),
        worker.event("task-succeeded", uuid=uuid, result="3", runtime=0.5),
    )
    await worker.say_together(ended, started)
    await farm.until("SELECT state = 'completed' FROM tasks")
    rows = await farm.rows("SELECT ending, result, run_s FROM attempts")
    assert [tuple(row) for row in rows] == [("completed", '"3"', 0.5)]
    assert len(worker.tasks) == 1, "it was given once"
    assert (await farm.rows("SELECT epoch FROM workers WHERE id = $1", name))[0][0] == 1
    await farm.submit(a_call("shop.add", 3, 4))
    await worker.next_task()
    worker.alive = False
    await worker.say("worker-offline")
    await connected(farm, name, "offline")
    await farm.until("SELECT count(*) = 1 FROM tasks WHERE state = 'ready'")
    assert f'worker="{name}"' not in farm.coordinator.telemetry.expose(None).decode(), "flower #1128: they stayed"


async def test_a_flood_of_one_worker_s_events_never_hides_another_s_death(farm: Farm, crowd: Crowd) -> None:
    loud, leaver, dying = (crowd.worker(f"{one}@host", pid=9) for one in ("loud", "leaver", "dying"))
    for one in (loud, leaver, dying):
        await ready(farm, one)
    flooding = asyncio.Event()

    async def flood() -> None:
        while not flooding.is_set():
            uuid = a_task()
            await loud.say_together(
                *(loud.event(type_, uuid=uuid) for type_ in ("task-received", "task-started", "task-succeeded") * 30)
            )
            for _ in range(20):
                await loud.say("worker-heartbeat")
            await asyncio.sleep(0)

    task = asyncio.create_task(flood())
    try:
        await leaver.say("worker-offline")
        await connected(farm, name_of(leaver.hostname), "offline")
        await farm.rows("UPDATE workers SET heartbeat_s = 1, lost_after_s = 3 WHERE id = $1", name_of(dying.hostname))
        await dying.die()
        await farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '1 day'")
        await connected(farm, name_of(dying.hostname), "lost")
        assert (await farm.rows("SELECT connection FROM workers WHERE id = $1", name_of(loud.hostname)))[0][
            0
        ] == "online"
    finally:
        flooding.set()
        await task


async def test_what_is_said_of_a_task_is_no_sign_of_life(farm: Farm, crowd: Crowd) -> None:
    """It may have waited, and a worker that is lost has nothing any more."""
    worker, other = crowd.worker("w@host"), crowd.worker("other@host", kinds=())
    name = await ready(farm, worker)
    await farm.submit(a_call("shop.add", 1, 2))
    uuid = await worker.next_task()
    await worker.say("task-started", uuid=uuid)
    await farm.until("SELECT state = 'running' FROM tasks")
    await worker.die()
    await Gates(farm).silent(name, 100)
    await connected(farm, name, "lost")
    await worker.say_together(
        worker.event("task-succeeded", uuid=uuid, result="3"), worker.event("task-started", uuid=a_task())
    )
    await farm.until("SELECT count(*) = 1 FROM watched_tasks")
    await other.say("worker-online")
    await connected(farm, name_of(other.hostname))
    (row,) = await farm.rows(
        "SELECT w.connection, w.epoch, t.state, a.ending FROM workers w, tasks t JOIN attempts a ON a.task_id = t.id"
        " WHERE w.id = $1", name,
    )  # fmt: skip
    assert tuple(row) == ("lost", 1, "ready", "lost")


@pytest.mark.extensive
async def test_a_worker_whose_clock_is_set_back_is_found_lost_and_comes_back(farm: Farm, crowd: Crowd) -> None:
    """Its beats count again before it is lost; when it dies its task runs elsewhere; its next process takes part."""
    worker, other = crowd.worker("w@host"), crowd.worker("other@host", pid=8)
    name = await ready(farm, worker)
    await farm.submit(a_call("shop.add", 1, 2))
    uuid = await worker.next_task()
    await worker.say("task-started", uuid=uuid)
    await farm.until("SELECT state = 'running' FROM tasks")
    worker.behind_s = 7200.0
    beating = asyncio.create_task(worker.beat(0.5))
    await heard(farm, name, "(stats ->> 'clock')::int > 20")
    assert (await farm.rows("SELECT epoch FROM workers WHERE id = $1", name))[0][0] == 1, "it was not lost meanwhile"
    beating.cancel()
    await worker.die()
    await ready(farm, other)
    await Gates(farm).silent(name, 100)
    await connected(farm, name, "lost")
    uuid = await other.next_task()
    await other.say_together(*(other.event(f"task-{word}", uuid=uuid) for word in ("started", "succeeded")))
    await farm.until("SELECT state = 'completed' FROM tasks")
    rows = await farm.rows("SELECT worker_id, ending FROM attempts ORDER BY attempt")
    assert [tuple(row) for row in rows] == [(name, "lost"), (name_of(other.hostname), "completed")]
    again = crowd.worker("w@host", pid=101)
    again.behind_s = worker.behind_s
    await ready(farm, again)
    await farm.submit(a_call("shop.add", 3, 4), a_call("shop.add", 5, 6) | {"name": "second"})
    await asyncio.gather(again.next_task(), other.next_task())


@asynccontextmanager
async def running_behind(
    road: Proxy, database_url: str, amqp_url: str
) -> AsyncIterator[tuple[Farm, SimulatedWorker, str]]:
    """A farm that hears Celery's broker through *road*; a worker that does not, and the id of the task that it runs."""
    vhost = road.through(amqp_url)
    async with Crowd(amqp_url) as crowd, running(database_url, amqp_url, gateways="celery", celery_urls=vhost) as farm:
        await crowd.heard(*QUEUES)
        worker = crowd.worker("w@host")
        await worker.say("worker-online")
        await offers(farm, translate.name_of(translate.foreign_id(realm_of(vhost), worker.hostname)), "shop.add")
        await farm.submit(a_call("shop.add", 1, 2))
        uuid = await worker.next_task()
        await worker.say("task-started", uuid=uuid)
        await farm.until("SELECT state = 'running' FROM tasks")
        yield farm, worker, uuid


async def borne(farm: Farm, cut_at: datetime, seconds: float) -> None:
    """Wait until so long after *cut_at* the worker's silence has not counted, and see that it was not given up."""
    reached = "SELECT last_seen_at > $1::timestamptz + make_interval(secs => $2) FROM worker_liveness"
    await farm.until(reached, cut_at, seconds)
    assert [tuple(row) for row in await farm.rows("SELECT connection, epoch FROM workers")] == [("online", 1)]


async def completed_once(farm: Farm) -> None:
    """Wait until the task is completed, and see that it was tried once."""
    await farm.until("SELECT state = 'completed' FROM tasks")
    assert [row["ending"] for row in await farm.rows("SELECT ending FROM attempts")] == ["completed"]


async def test_nobody_is_given_up_while_we_do_not_hear_the_broker(database_url: str, amqp_url: str) -> None:
    async with Proxy(amqp_url) as road, running_behind(road, database_url, amqp_url) as (farm, worker, uuid):
        road.unplug()
        await worker.say("task-succeeded", uuid=uuid, result="3")
        await borne(farm, (await farm.rows("SELECT farm_now()"))[0][0], 1.0)
        await road.plug()
        await completed_once(farm)


@pytest.mark.extensive
async def test_nobody_is_given_up_when_the_line_to_the_broker_is_dead_and_nobody_says_so(
    database_url: str, amqp_url: str
) -> None:
    """A black hole: both ends take the connection for open, and nothing comes."""
    async with Proxy(amqp_url) as road, running_behind(road, database_url, amqp_url) as (farm, worker, uuid):
        beating = asyncio.create_task(worker.beat(2.0))
        road.hold()
        await worker.say("task-succeeded", uuid=uuid, result="3")
        await borne(farm, (await farm.rows("SELECT farm_now()"))[0][0], 2 * translate.LOST_AFTER_S)
        road.flow()
        await completed_once(farm)
        beating.cancel()


async def test_what_is_not_json_is_never_decoded(farm: Farm, crowd: Crowd) -> None:
    worker = crowd.worker("w@host")
    await crowd.publish(
        b"cos\nsystem\n(S'touch /tmp/pickled'\ntR.", "worker.heartbeat", "application/x-python-serialize"
    )
    await crowd.publish(b"{", "worker.heartbeat")
    await crowd.publish([[], 7, {"type": "worker-online"}, worker.event("worker-online")], "worker.online")
    await crowd.publish(worker.event("worker-elect"), "worker.elect")
    await crowd.publish(worker.event("task-updated", uuid="u") | {"pid": 999}, "task.updated")
    await crowd.publish(
        {"hostname": "gen829@vm", "pid": 829, "uuid": "u", "type": "task-sent", "timestamp": 1.0}, "task.sent"
    )
    await connected(farm, name_of(worker.hostname))
    await farm.until("SELECT count(*) = 1 FROM watched_tasks")
    (row,) = await farm.rows("SELECT platform ->> 'pid' AS pid FROM workers")
    assert row["pid"] == str(worker.pid), "neither a client nor a task's own process is a worker"
    text = (farm.coordinator.telemetry.expose(None)).decode()
    assert 'farmhand_celery_unreadable_total{reason="not-json"} 1.0' in text
    assert f'farmhand_celery_worker_online{{worker="{name_of(worker.hostname)}"}} 1.0' in text
