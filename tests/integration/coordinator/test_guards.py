"""The guards before a loss, on a farm: many that fall silent together, coordinators that consume nothing."""

import asyncio
from contextlib import AsyncExitStack

import aio_pika
import asyncpg
import httpx
import pytest
from pamqp.common import FieldTable

from coordinator.operations.requests import ConflictError, ThawZone
from coordinator.storage.examine import examine
from coordinator.storage.store import LOCK
from schemas.task import AssignedAttempt, Held, Phase, Verdict
from schemas.worker import Capacity
from tests.integration.coordinator.test_broker_word import listening
from tests.support.farm import Farm
from tests.support.wire import WireWorker

FROZEN = "SELECT guard = 'frozen' FROM freezes WHERE zone = 'default'"
EVENTS = "SELECT event FROM history WHERE event LIKE 'farm.expiry%' ORDER BY id"


async def four_at_work(farm: Farm, stack: AsyncExitStack) -> list[tuple[WireWorker, AssignedAttempt]]:
    """Four workers of one zone, each with the task that it runs."""
    workers = [
        await stack.enter_async_context(WireWorker(farm.amqp_url, f"node-{n}", named=True, capacity=Capacity(slots=1)))
        for n in range(4)
    ]
    for worker in workers:
        await worker.online()
    await farm.submit({"array": {"count": 4}})
    pairs = [(worker, await worker.assigned()) for worker in workers]
    for worker, attempt in pairs:
        await worker.start(attempt)
    await farm.until("SELECT count(*) = 4 FROM tasks WHERE state = 'running'")
    return pairs


async def test_many_that_are_cut_off_together_are_not_lost_and_go_on_when_they_are_back(
    database_url: str, amqp_url: str
) -> None:
    async with listening(database_url, amqp_url, 1.0) as farm, AsyncExitStack() as stack:
        workers = await four_at_work(farm, stack)

        await asyncio.gather(*(worker.vanish() for worker, _ in workers))
        await farm.until(FROZEN)
        # The grace passes, and with it several looks.
        await farm.until("SELECT bool_and(cut_at < farm_now() - interval '3 seconds') FROM workers")
        assert await farm.rows("SELECT id FROM workers WHERE connection <> 'suspect'") == []
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{farm.coordinator.settings.http_port}", timeout=60
        ) as http:
            ready, frozen = await http.get("/readyz"), await http.get("/api/v1/freezes")
            metrics = (await http.get("/metrics")).text
        assert ready.json()["notes"] == ["nobody is given up in zone default: see /api/v1/freezes"]
        assert [(one["zone"], one["guard"]) for one in frozen.json()] == [("default", "frozen")]
        assert 'farmhand_expiry_freezes{guard="frozen"} 1.0' in metrics
        checks = {check.name: check.said for check in (await examine(farm.database_url)).checks}
        assert "zone default is frozen" in checks["losses held back"]

        # At once, as they had left: when most are back, the others are not waited for.
        await asyncio.gather(*(worker.join() for worker, _ in workers))
        await asyncio.gather(
            *(
                worker.online(holds=[Held(task=attempt.task, attempt=1, phase=Phase.RUNNING)])
                for worker, attempt in workers
            )
        )
        await farm.until("SELECT NOT EXISTS (SELECT FROM freezes)")
        for worker, attempt in workers:
            await worker.finish(attempt)
            assert await worker.verdict(attempt) is Verdict.ACCEPTED

        assert await farm.rows("SELECT attempt FROM attempts WHERE attempt > 1") == []
        assert [row[0] for row in await farm.rows(EVENTS)] == ["farm.expiry_frozen", "farm.expiry_thawed"]


async def test_an_operator_who_knows_that_they_are_gone_opens_the_zone(database_url: str, amqp_url: str) -> None:
    async with listening(database_url, amqp_url, 1.0) as farm, AsyncExitStack() as stack:
        workers = await four_at_work(farm, stack)
        with pytest.raises(ConflictError, match="nothing is frozen in zone 'default'"):
            await farm.desk.ask(ThawZone("default", "ana"))
        await asyncio.gather(*(worker.vanish() for worker, _ in workers[1:]))
        await farm.until(FROZEN)

        await farm.desk.ask(ThawZone("default", "ana", "no power in the rack"))

        await farm.until("SELECT count(*) = 3 FROM workers WHERE connection = 'lost'")
        await farm.until("SELECT NOT EXISTS (SELECT FROM freezes)")
        rows = await farm.rows("SELECT event, actor, detail FROM history WHERE event LIKE 'farm.expiry%' ORDER BY id")
        assert [row["event"] for row in rows] == ["farm.expiry_frozen", "farm.expiry_opened", "farm.expiry_thawed"]
        assert (rows[1]["actor"], rows[1]["detail"].count("no power in the rack")) == ("ana", 1)


async def test_a_zone_that_stays_frozen_is_given_up_bit_by_bit(database_url: str, amqp_url: str) -> None:
    async with listening(database_url, amqp_url, 1.0) as farm, AsyncExitStack() as stack:
        workers = await four_at_work(farm, stack)
        await asyncio.gather(*(worker.vanish() for worker, _ in workers[1:]))
        await farm.until(FROZEN)
        # As if five times lost_after had passed.
        await farm.rows("UPDATE history SET at = at - interval '151 s' WHERE event = 'farm.expiry_frozen'")
        await farm.rows("UPDATE freezes SET since = since - interval '151 s'")

        await farm.until("SELECT count(*) = 1 FROM workers WHERE connection = 'lost'")

        await farm.until("SELECT guard = 'limited' AND lost = 1 FROM freezes")
        looks = "SELECT last_run_at > $1 FROM duties WHERE name = 'sweep'"
        now = (await farm.rows("SELECT farm_now() + interval '2 s'"))[0][0]
        await farm.until(looks, now)
        assert (await farm.rows("SELECT count(*) FROM workers WHERE connection = 'suspect'"))[0][0] == 2


async def test_nobody_is_lost_while_a_coordinator_consumes_nothing(database_url: str, amqp_url: str) -> None:
    async with (
        listening(database_url, amqp_url, 0.5) as farm,
        WireWorker(amqp_url, "node-1", named=True) as doomed,
    ):
        await doomed.online()
        await farm.rows(
            "INSERT INTO coordinators (id, software, listening_since, events_at, heartbeats_at) VALUES ('asleep', 'x',"
            " farm_now() - interval '1 hour', farm_now() - interval '12 s', farm_now())"
        )
        await farm.until("SELECT EXISTS (SELECT FROM freezes WHERE zone = '')")
        await doomed.vanish()
        await farm.until("SELECT cut_at < farm_now() - interval '2 s' FROM workers")
        assert (await farm.rows("SELECT connection FROM workers"))[0][0] == "suspect"

        # By 45 s the broker has taken back what it held.
        await farm.rows("UPDATE coordinators SET events_at = farm_now() - interval '46 s' WHERE id = 'asleep'")

        await farm.until("SELECT connection = 'lost' FROM workers")
        detail = (await farm.rows("SELECT detail FROM history WHERE event = 'farm.expiry_frozen'"))[0][0]
        assert "asleep" in detail


async def test_a_coordinator_whose_connection_closed_is_not_waited_for(database_url: str, amqp_url: str) -> None:
    async with listening(database_url, amqp_url, 0.5) as farm:
        name = "farmhand.coordinator.two.consume.1"
        await farm.rows("INSERT INTO coordinators (id, software, connection) VALUES ('two', 'x', $1)", name)
        gone: FieldTable = {"connection_name": name}
        await (await aio_pika.connect(amqp_url, client_properties=gone)).close()
        await farm.until("SELECT count(*) = 1 FROM coordinators")


async def test_while_no_coordinator_consumes_anything_nobody_is_judged_however_long_that_takes(
    database_url: str, amqp_url: str
) -> None:
    async with (
        listening(database_url, amqp_url, 0.0) as farm,
        WireWorker(amqp_url, "node-1", named=True) as doomed,
    ):
        await doomed.online()
        since = "listening_since = farm_now() - interval '1 hour'"
        deaf = f"UPDATE coordinators SET {since}, events_at = farm_now() - interval '{{}} s'"
        pool = await asyncpg.connect(database_url)
        try:
            # As a broker with an alarm does: nothing comes, not even its own canaries.
            async with pool.transaction():
                await pool.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                await pool.execute(deaf.format(20))
                await pool.execute("CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'")
                await pool.execute(
                    "CREATE TRIGGER deaf BEFORE UPDATE ON coordinators FOR EACH ROW EXECUTE FUNCTION keep()"
                )
            await farm.until("SELECT EXISTS (SELECT FROM freezes WHERE zone = '')")
            await doomed.vanish()
            await farm.until("SELECT cut_at < farm_now() - interval '2 s' FROM workers")
            await pool.execute("ALTER TABLE coordinators DISABLE TRIGGER deaf")
            await pool.execute(deaf.format(50))
            await pool.execute("ALTER TABLE coordinators ENABLE TRIGGER deaf")
            now = (await farm.rows("SELECT farm_now() + interval '3 s'"))[0][0]
            await farm.until("SELECT last_run_at > $1 FROM duties WHERE name = 'sweep'", now)
            assert (await farm.rows("SELECT connection FROM workers"))[0][0] == "suspect"
            assert (await farm.rows("SELECT count(*) FROM freezes WHERE zone = ''"))[0][0] == 1
            await pool.execute("DROP TRIGGER deaf ON coordinators")
        finally:
            await pool.close()
        await farm.until("SELECT NOT EXISTS (SELECT FROM freezes)")
