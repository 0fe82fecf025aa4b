"""Bad input beside a farm at work: each message is applied, parked or counted, and the work goes on.

`make fuzz` says what a million of them do before they reach the database.
"""

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import urlsplit

import aio_pika
import httpx
import psutil
import pytest

from coordinator.operations.records import Parking
from schemas import topology
from schemas.envelope import FromWorker, decode_from_worker
from schemas.task import Held, Phase, TaskLog
from schemas.worker import Capacity
from tests.fuzz.bad_input import Sent
from tests.fuzz.mouth import Mouth
from tests.fuzz.mutating import Mutator
from tests.support.farm import Farm
from tests.support.recorded import seeds
from tests.support.wire import WireWorker, an_envelope

#: Values that pass validation: what the database makes of them is another matter.
BEAT = {"type": "worker.heartbeat", "duty": "awake"}
ODD_BEATS = (
    BEAT | {"last_activity_at": "0001-01-01T00:00:00+23:59"},
    BEAT | {"last_activity_at": "9999-12-31T23:59:59-23:59"},
    BEAT | {"open_sessions": 2**63 - 1},
    BEAT | {"stats": {"cpu_percent": 1e308, "load": [-1e308, 5e-324], "memory_used": 2**63 - 1}},
    BEAT | {"stats": {"cores_percent": [1e300] * 1024, "gpus": [{"name": "\ud83d\ude00", "temperature": -1e300}]}},
)


class Expected:
    """What must become of messages, by what the same code makes of them without a database."""

    def __init__(self, user: str) -> None:
        self._mouth = Mouth(user)
        self.parked: Counter[str] = Counter()
        self.events = 0

    async def note(self, sent: Sent) -> None:
        """*sent* is on its way."""
        for item in await self._mouth.taste(sent.delivered()):
            if isinstance(item.event, Parking):
                self.parked[item.event.reason] += 1
            elif isinstance(item.event, FromWorker) and sent.queue == topology.EVENTS_QUEUE:
                self.events += len(item.event.events)

    @property
    def unknown(self) -> int:
        """Events that only a newer release knows."""
        return self._mouth.unknown

    def close(self) -> None:
        """No more."""
        self._mouth.close()


Send = Callable[[Sent], Awaitable[object]]


@asynccontextmanager
async def a_road(farm: Farm) -> AsyncIterator[Send]:
    """Publishes what it is given."""
    connection = await aio_pika.connect(farm.amqp_url)
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.EVENTS_EXCHANGE, ensure=False)
        yield lambda sent: exchange.publish(aio_pika.Message(sent.body, user_id=sent.user_id), sent.key)


async def counted(farm: Farm) -> tuple[int, int]:
    """What the coordinator's metrics say: events of the events queue that were applied, events that were left out."""
    async with httpx.AsyncClient(timeout=60) as client:
        port = farm.coordinator.settings.http_port
        lines = (await client.get(f"http://127.0.0.1:{port}/metrics")).text.splitlines()
    applied = [
        line
        for line in lines
        if line.startswith("farmhand_events_total{") and 'result="applied"' in line and "worker.heartbeat" not in line
    ]
    unknown = [line for line in lines if line.startswith("farmhand_unknown_events_total ")]
    return sum(int(float(line.split()[-1])) for line in applied), int(float(unknown[0].split()[-1]))


class Steady:
    """A worker that does its work, whatever goes on beside it."""

    def __init__(self, worker: WireWorker) -> None:
        self._worker = worker
        self.done = 0

    @property
    def events(self) -> int:
        """What it has said by the events queue: that it is here, and two of each task."""
        return 1 + 2 * self.done

    async def work(self, stop: asyncio.Event) -> None:
        """Until *stop*."""
        worker = self._worker
        while not stop.is_set():
            attempt = await worker.assigned()
            await worker.start(attempt)
            await worker.beat(holds=[Held(task=attempt.task, attempt=attempt.attempt, phase=Phase.RUNNING)])
            await worker.finish(attempt)
            assert await worker.verdict(attempt) == "accepted"
            self.done += 1


async def fuzz(farm: Farm, inputs: int, seed: int, *, work: int = 5000) -> float:
    """Send so many bad messages beside a worker with *work* tasks to do, and account for each.

    Answers by how many MB the process grew in the second half.
    """
    user = urlsplit(farm.amqp_url).username or ""
    good = [(key, body) for key, body in seeds() if not key.startswith("job.")]
    mutator, expected = Mutator(good, Random(seed), user), Expected(user)
    worker, memory = WireWorker(farm.amqp_url, "steady", kinds=["steady"], capacity=Capacity(slots=1)), []
    async with worker, a_road(farm) as send:
        await worker.online()
        await farm.submit({"kind": "steady", "array": {"count": work}})
        steady = Steady(worker)
        for _ in range(2):
            stop = asyncio.Event()
            working = asyncio.create_task(steady.work(stop))
            for _ in range(inputs // 2):
                sent = published(mutator.message(), user)
                if sent is not None:
                    await expected.note(sent)
                    await send(sent)
            before = steady.done
            while steady.done < before + 3 and not working.done():
                await farm.rows("SELECT pg_sleep(0.02)")
            stop.set()
            await working
            await accounted_for(farm, expected, steady)
            gc.collect()
            memory.append(psutil.Process().memory_info().rss / 2**20)
    expected.close()
    return memory[1] - memory[0]


def published(sent: Sent, user: str) -> Sent | None:
    """*sent* as the broker lets it pass: nobody can say that he is another user, and some keys lead nowhere."""
    if sent.key.partition(".")[0] not in ("ev", "hb", "log", "job"):
        return None
    return sent if sent.user_id == user else sent._replace(user_id=None)


async def accounted_for(farm: Farm, expected: Expected, steady: Steady) -> None:
    """Return when each message was applied, parked or counted; raise when that does not come to be."""
    found: object = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(60):
            while True:
                rows = await farm.rows("SELECT reason, body FROM parked")
                refused = [bytes(row["body"]) for row in rows if row["reason"] == "refused-by-database"]
                parked = Counter(row["reason"] for row in rows if row["reason"] != "refused-by-database")
                wanted = (expected.parked, expected.events + steady.events - events_in(refused), expected.unknown)
                found = (parked, *await counted(farm))
                if found == wanted:
                    return
                await farm.rows("SELECT pg_sleep(0.1)")
    assert found == wanted


def events_in(bodies: list[bytes]) -> int:
    """How many events the messages hold that the database has refused."""
    return sum(len(decode_from_worker(body)[0].events) for body in bodies)


async def test_bad_messages_beside_a_farm_at_work_are_each_applied_parked_or_counted(farm: Farm) -> None:
    await fuzz(farm, 400, seed=7)


@pytest.mark.extensive
@pytest.mark.timeout(900)
async def test_thousands_of_them_do_not_let_it_grow(farm: Farm) -> None:
    grown_mb = await fuzz(farm, 10_000, seed=8, work=50_000)
    assert grown_mb < 25


async def test_heartbeats_that_the_calendar_of_the_database_does_not_know_are_heard(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker, a_road(farm) as send:
        await worker.online()
        for number, event in enumerate(ODD_BEATS, start=100):
            said = {"epoch": worker.epoch, "instance": str(worker.instance), "seq": number}
            sent_at = "9999-12-31T23:59:59Z"
            body = an_envelope(worker="node-1", **said, sent_at=sent_at, events=[event])
            await send(Sent("hb.node-1", body, urlsplit(farm.amqp_url).username))
            await farm.until("SELECT last_seq = $1 FROM worker_liveness", number)
    assert await farm.rows("SELECT * FROM parked") == []


async def test_a_heartbeat_or_a_log_that_the_database_refuses_is_parked_and_the_others_are_written(farm: Farm) -> None:
    await farm.rows("ALTER TABLE worker_liveness ADD CONSTRAINT no_sevens CHECK (open_sessions <> 7)")
    await farm.rows("ALTER TABLE logs ADD CONSTRAINT no_hundreds CHECK (octet_length(text) <> 100)")
    async with (
        WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=9)) as one,
        WireWorker(farm.amqp_url, "node-2") as two,
    ):
        await one.online()
        await farm.submit({"array": {"count": 9}})
        attempts = [await one.assigned() for _ in range(9)]
        await two.online()
        for sessions in (7, 1):
            await one.beat(open_sessions=sessions)
            await two.beat()
        for number, attempt in enumerate(attempts):
            said = TaskLog(
                task=attempt.task, attempt=1, chunk=0, day=attempt.day, text="x" * (100 if number == 4 else 99)
            )
            await one.say(said, key=topology.log_key("node-1"))
        await farm.until("SELECT count(*) = 2 FROM parked")
        await farm.until("SELECT count(*) = 8 FROM logs")
        await farm.until("SELECT open_sessions = 1 FROM worker_liveness WHERE worker_id = 'node-1'")
    rows = await farm.rows("SELECT queue, reason, detail FROM parked ORDER BY queue")
    assert [row["queue"] for row in rows] == [topology.HEARTBEATS_QUEUE, topology.LOGS_QUEUE]
    assert {row["reason"] for row in rows} == {"refused-by-database"}
    assert "no_sevens" in rows[0]["detail"]
    assert "no_hundreds" in rows[1]["detail"]
