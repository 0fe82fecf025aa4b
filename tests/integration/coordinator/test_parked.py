"""What cannot be read or applied is kept, with its bytes and the reason; it is replayed or dropped, and never lost."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import asyncpg
import pytest

from coordinator.operations.requests import ConflictError, DropParked, NotFoundError, ReplayParked
from coordinator.storage.store import LOCK
from schemas import topology
from schemas.base import MAX_MESSAGE_BYTES
from schemas.task import Outcome, TaskFinished, Verdict
from schemas.worker import Capacity, WorkerHeartbeat, WorkerOnline
from tests.support.farm import Farm, a_task
from tests.support.wire import WireWorker, an_envelope

KEY = topology.event_key("node-1")


class Road:
    """A bare connection to the broker."""

    def __init__(self, connection: Any, channel: Any) -> None:
        self.user = connection.url.user
        self.channel = channel

    async def send(
        self, body: bytes, key: str = KEY, exchange: str = topology.EVENTS_EXCHANGE, **properties: Any
    ) -> None:
        """Publish *body*, and have it confirmed."""
        message = aio_pika.Message(body, **({"user_id": self.user, "message_id": "m-1"} | properties))
        if exchange:
            target = await self.channel.get_exchange(exchange, ensure=False)
        else:
            target = self.channel.default_exchange
        await target.publish(message, key)

    async def delivered(self, queue: str) -> None:
        """Wait until the broker has handed over all that is in *queue*."""
        while (await self.channel.declare_queue(queue, passive=True)).declaration_result.message_count:
            pass


@pytest.fixture
async def road(farm: Farm) -> AsyncIterator[Road]:
    """A bare connection to the farm's virtual host."""
    connection = await aio_pika.connect(farm.amqp_url)
    async with connection:
        yield Road(connection, await connection.channel(on_return_raises=True))


async def parked(farm: Farm, count: int = 1) -> list[dict[str, Any]]:
    """What is parked, as soon as there are *count*."""
    await farm.until("SELECT count(*) >= $1 FROM parked", count)
    return [dict(row) for row in await farm.rows("SELECT * FROM parked ORDER BY id")]


# --- what is parked ----------------------------------------------------------------------------------------


NUL_IN_RESULT = {"type": "task.finished", "task": 1, "attempt": 1, "outcome": "completed", "result": {"a": "\x00"}}
CYCLE = {
    "submitter": "node-1",
    "sent_at": "2026-01-01T00:00:00Z",
    "events": [{"job": {"name": "j", "tasks": [a_task(name="a\x00", after=["b"]), a_task(name="b", after=["a\x00"])]}}],
}


@pytest.mark.parametrize(
    ("body", "key", "reason", "field"),
    [
        (b"\x00\xff not JSON", KEY, "invalid", ""),
        (b"[" * 60_000, KEY, "invalid", ""),
        (an_envelope(worker="node-1", padding="x" * MAX_MESSAGE_BYTES), KEY, "oversized", ""),
        (an_envelope(worker="node-1", events=[NUL_IN_RESULT]), KEY, "unstorable", "events.0.result.a"),
        (an_envelope(worker="node-1", epoch=2**64), KEY, "invalid", "epoch"),
        (an_envelope(worker="node-1", events=[{"type": ["worker.online"]}]), KEY, "invalid", "events.0"),
        (an_envelope(worker="node-1"), topology.event_key("node-2"), "forbidden", "worker"),
        (an_envelope(worker="node-1"), "ev", "forbidden", "worker"),
        (json.dumps(CYCLE).encode(), topology.job_key("node-1"), "invalid", "events.0.job"),
        (b"\x00", topology.heartbeat_key("node-1"), "invalid", ""),
        (b"\x00", topology.log_key("node-1"), "invalid", ""),
    ],
)
async def test_what_cannot_be_read_is_kept_with_its_bytes_headers_reason_and_field(
    farm: Farm, road: Road, body: bytes, key: str, reason: str, field: str
) -> None:
    await road.send(body, key, headers={"traceparent": "00-1-2-3", "n": 7})

    (row,) = await parked(farm)

    assert (row["reason"], row["field"], row["routing_key"]) == (reason, field, key)
    assert bytes(row["body"]) == body
    assert (row["user_id"], row["message_id"], row["state"]) == (road.user, "m-1", "parked")
    assert json.loads(row["headers"]) == {"traceparent": "00-1-2-3", "n": 7}
    assert row["detail"]
    assert "\n" not in row["detail"]


async def test_a_message_under_a_key_that_nothing_handles_is_parked(farm: Farm, road: Road) -> None:
    await road.send(an_envelope(), topology.EVENTS_QUEUE, exchange="")
    (row,) = await parked(farm)
    assert (row["reason"], row["detail"]) == ("unroutable", "no route for key 'farmhand'")


async def test_what_the_broker_gave_up_on_is_parked_undecoded(farm: Farm, road: Road) -> None:
    await road.send(b"\x00 whatever", topology.PARKING_QUEUE, exchange="")
    (row,) = await parked(farm)
    assert (row["queue"], row["reason"]) == (topology.PARKING_QUEUE, "delivery-limit")
    assert bytes(row["body"]) == b"\x00 whatever"


async def test_a_parked_message_is_off_its_queue_and_the_farm_goes_on(farm: Farm, road: Road) -> None:
    for _ in range(3):
        await road.send(b"nonsense")
    assert len(await parked(farm, 3)) == 3
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
    assert len(await parked(farm, 3)) == 3


# --- replay and drop ---------------------------------------------------------------------------------------


async def test_a_replayed_message_is_applied_when_what_was_wrong_is_gone(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await farm.rows("ALTER TABLE attempts ADD CONSTRAINT no_sevens CHECK (result IS DISTINCT FROM '7')")
        await worker.finish(attempt, result=7)
        (row,) = await parked(farm)
        assert row["reason"] == "refused-by-database"
        assert "no_sevens" in row["detail"]
        await farm.rows("ALTER TABLE attempts DROP CONSTRAINT no_sevens")

        assert (await farm.desk.ask(ReplayParked(row["id"], "ana"))).count == 1

        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        (row,) = await parked(farm)
        assert (row["state"], row["closed_by"]) == ("replayed", "ana")
        assert row["closed_at"]
    with pytest.raises(ConflictError, match="was replayed already"):
        await farm.desk.ask(ReplayParked(row["id"], "ana"))


async def test_a_replayed_message_that_is_still_wrong_is_refused_and_stays_parked(farm: Farm, road: Road) -> None:
    await road.send(b"nonsense", headers={"n": 7})
    (first,) = await parked(farm)

    with pytest.raises(ConflictError, match="would be refused again: Invalid JSON.*; it stays parked"):
        await farm.desk.ask(ReplayParked(first["id"], "ana"))

    (row,) = await parked(farm)
    assert row == first


async def test_a_replayed_message_that_the_database_refuses_again_stays_parked(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await farm.rows("ALTER TABLE attempts ADD CONSTRAINT no_sevens CHECK (result IS DISTINCT FROM '7')")
        await worker.finish(attempt, result=7)
        (first,) = await parked(farm)

        with pytest.raises(ConflictError, match="no_sevens"):
            await farm.desk.ask(ReplayParked(first["id"], "ana"))

        (row,) = await parked(farm)
        assert row == first
        await farm.rows("ALTER TABLE attempts DROP CONSTRAINT no_sevens")


async def test_a_dropped_message_stays_to_be_seen_and_is_not_replayed(farm: Farm, road: Road) -> None:
    await road.send(b"nonsense")
    (row,) = await parked(farm)

    await farm.desk.ask(DropParked(row["id"], "ana"))

    (row,) = await parked(farm)
    assert (row["state"], row["closed_by"], bytes(row["body"])) == ("dropped", "ana", b"nonsense")
    with pytest.raises(ConflictError, match="was dropped already"):
        await farm.desk.ask(ReplayParked(row["id"], "ana"))
    with pytest.raises(NotFoundError, match="there is no parked message 99"):
        await farm.desk.ask(DropParked(99, "ana"))


# --- one poisonous event among many ------------------------------------------------------------------------


@asynccontextmanager
async def held_up(farm: Farm) -> AsyncIterator[None]:
    """Hold the farm's lock, so that what arrives gathers in the inbox."""
    connection = await asyncpg.connect(farm.database_url)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
        yield
    finally:
        await connection.close()


async def test_one_poisonous_event_in_a_hundred_is_parked_and_the_others_are_applied(farm: Farm, road: Road) -> None:
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=100)) as worker:
        await worker.online()
        await farm.submit({"array": {"count": 100}})
        attempts = [await worker.assigned() for _ in range(100)]
        poisonous = attempts[57]
        await farm.rows("ALTER TABLE attempts ADD CONSTRAINT no_poison CHECK (result IS DISTINCT FROM '\"poison\"')")

        async with held_up(farm):
            for attempt in attempts:
                await worker.finish(attempt, result="poison" if attempt is poisonous else "fine")
            await road.delivered(topology.EVENTS_QUEUE)

        (row,) = await parked(farm)
        assert row["reason"] == "refused-by-database"
        assert "no_poison" in row["detail"]
        event = json.loads(bytes(row["body"]))["events"][0]
        assert (event["task"], event["result"]) == (poisonous.task, "poison")
        await farm.until("SELECT n_completed = 99 FROM jobs")
        assert await farm.state(poisonous.task) == "assigned"
        await worker.finish(poisonous, result="cured")
        assert await worker.verdict(poisonous) is Verdict.ACCEPTED
        await farm.until("SELECT state = 'completed' FROM jobs")


# --- events on the wrong road ------------------------------------------------------------------------------


async def test_a_report_that_comes_by_the_queue_of_heartbeats_is_not_lost(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        report = TaskFinished(task=attempt.task, attempt=1, outcome=Outcome.COMPLETED)
        await worker.say(WorkerHeartbeat(), report, key=topology.heartbeat_key("node-1"))

        (row,) = await parked(farm)
        assert (row["reason"], row["field"]) == ("misplaced", "events.1")


async def test_an_online_that_comes_by_the_queue_of_logs_is_not_lost(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        online = WorkerOnline(boot_id="1", software="wire 1", kinds=["echo"], queues=["default"])
        await worker.say(online, key=topology.log_key("node-1"))

        (row,) = await parked(farm)
        assert (row["reason"], row["field"]) == ("misplaced", "events.0")
