"""What a process holds in memory while another is away is bounded, however much comes and however long that takes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, cast

import aio_pika
import asyncpg
import psutil
import pytest
from aiormq import spec
from aiormq.channel import Channel

from coordinator.local.farm import LocalFarm
from coordinator.local.part import Part
from coordinator.local.plan import Plan
from coordinator.local.postgres import PrivatePostgres
from coordinator.local.rabbitmq import PrivateRabbit
from coordinator.proof.faults.stage import children
from coordinator.storage.invariants import violations
from coordinator.transport.consumer import PREFETCH
from schemas import topology
from schemas.base import Message
from schemas.envelope import FromWorker
from schemas.job import JobSpec
from schemas.task import Held, Phase, TaskLog
from schemas.worker import Capacity, MachineStats, WorkerHeartbeat
from tests.support.wire import WireWorker

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(900)]

MB: Final = 2**20
FLOOD: Final = 100_000
#: Messages on their way out at once.
TOGETHER: Final = 20
#: What a coordinator may hold of this flood: its prefetch of each queue, times what a message of a few hundred bytes
#: takes in Python. All of the flood would take some 400 MB.
HELD_MB: Final = sum(PREFETCH.values()) * 20_000 / MB
#: A log is cut after 16 MiB; what an agent may hold of all logs is a megabyte, and a file of four that is being sent.
LOG: Final = 16 * MB
TASKS: Final = 4
AGENT_MB: Final = 24


class Weight:
    """The most that a process had for itself, beyond what it had at first, in MB."""

    def __init__(self, part: Part) -> None:
        assert part.pid is not None
        self._process = psutil.Process(part.pid)
        self._first = self._now()
        self.most = 0.0

    def _now(self) -> float:
        return float(self._process.memory_full_info().uss) / MB

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look at it all the while."""

        async def watch() -> None:
            while True:
                self.most = max(self.most, self._now() - self._first)
                await asyncio.sleep(0.25)

        watching = asyncio.create_task(watch())
        try:
            yield
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def until(done: Callable[[], Awaitable[Any]]) -> None:
    """Wait for it, through whatever happens to the database."""
    async with asyncio.timeout(300):
        while True:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if await done():
                    return
            await asyncio.sleep(0.2)


async def asked(farm: LocalFarm, question: str, *words: Any) -> Any:
    connection = await asyncpg.connect(farm.services.database_url, timeout=5)
    try:
        return await connection.fetchval(question, *words)
    finally:
        await connection.close()


class Flood:
    """Says heartbeats and logs as fast as the broker takes them."""

    def __init__(self, worker: WireWorker, task: int, channel: Channel, user: str | None) -> None:
        self._worker, self._task, self._channel, self._user = worker, task, channel, user
        self._chunks = count()
        self.chunks = 0

    async def beat(self) -> None:
        """A heartbeat of usual size."""
        stats = MachineStats(cpu_percent=50, cores_percent=[50.0] * 16, load=[1.0, 1.0, 1.0], memory_total=2**34)
        held = Held(task=self._task, attempt=1, phase=Phase.RUNNING)
        await self._say(topology.heartbeat_key(self._worker.name), WorkerHeartbeat(stats=stats, holds=[held]))

    async def pour(self, messages: int) -> None:
        """As many, half of them logs."""
        today = datetime.now(UTC).date()
        for _ in range(messages // 2):
            await self.beat()
            log = TaskLog(task=self._task, attempt=1, chunk=next(self._chunks), day=today, text="a line of a log\n" * 5)
            await self._say(topology.log_key(self._worker.name), log)
            self.chunks += 1

    async def _say(self, key: str, event: Message) -> None:
        worker = self._worker
        worker.seq += 1
        said: dict[str, Any] = {"instance": worker.instance, "sent_at": datetime.now(UTC), "events": [event]}
        envelope = FromWorker(worker=worker.name, epoch=worker.epoch, seq=worker.seq, **said)
        await self._channel.basic_publish(
            envelope.model_dump_json().encode(),
            exchange=topology.EVENTS_EXCHANGE,
            routing_key=key,
            properties=spec.Basic.Properties(user_id=self._user),
            wait=worker.seq % TOGETHER == 0,
        )


async def test_a_coordinator_holds_its_prefetch_of_a_flood_while_the_database_is_locked_or_away() -> None:
    """And catches up afterwards: not one piece of log is lost."""
    async with LocalFarm(Plan(agents=0)) as farm:
        postgres = farm.services.postgres
        assert isinstance(postgres, PrivatePostgres)
        async with (
            WireWorker(farm.services.amqp_url, "node-1", capacity=Capacity(slots=1)) as worker,
            await aio_pika.connect(farm.services.amqp_url, heartbeat=600) as pouring,
        ):
            await worker.online()
            task = {"name": "talks", "kind": "echo", "commands": [{"name": "echo"}]}
            async with farm.client() as client:
                await client.submit(JobSpec.model_validate({"name": "flood", "tasks": [task]}))
            attempt = await worker.assigned()
            await worker.start(attempt)
            channel = await (await pouring.channel(publisher_confirms=False)).get_underlay_channel()
            flood = Flood(worker, attempt.task, cast("Channel", channel), pouring.url.user)
            await flood.pour(2000)
            weight = Weight(farm.coordinators["coordinator-1"])
            async with weight.watched():
                held = await asyncpg.connect(farm.services.database_url)
                await held.execute("BEGIN; LOCK TABLE worker_liveness, logs, tasks IN ACCESS EXCLUSIVE MODE")
                await flood.pour(FLOOD)
                await held.close()
                await asyncio.to_thread(postgres.kill)
                await flood.pour(FLOOD)
                await asyncio.to_thread(postgres.start)

                async def caught_up() -> bool:
                    await flood.beat()
                    there = await asked(farm, "SELECT count(*) FROM logs")
                    print(f"{there} of {flood.chunks} pieces are there")
                    return bool(there == flood.chunks)

                await until(caught_up)
            await worker.finish(attempt)
            await worker.verdict(attempt)
        print(f"the coordinator took {weight.most:.1f} MB more, of {HELD_MB:.0f}")
        assert weight.most < HELD_MB
        assert not await violations(farm.services.database_url)


async def test_an_agent_holds_little_while_the_broker_is_away_and_its_tasks_print_and_end() -> None:
    """What they print waits in files, their reports in the journal; all of it arrives."""
    async with LocalFarm(Plan(agents=1, slots=TASKS)) as farm:
        broker = farm.services.rabbitmq
        assert isinstance(broker, PrivateRabbit)
        agent, sign = farm.agents["agent-1"], farm.path / "go"
        prints = f"until [ -e {sign} ]; do sleep 0.2; done; yes 'a line that a task prints' | head -c {LOG + MB}"
        command = {"name": "exec", "parameters": {"argv": ["bash", "-c", prints]}}
        spec = {"name": "talks", "kind": "exec", "commands": [command], "array": {"count": TASKS}}
        async with farm.client() as client:
            job = (await client.submit(JobSpec.model_validate({"name": "talk", "tasks": [spec]}))).job
        await until(lambda: asked(farm, "SELECT n_running = $2 FROM jobs WHERE id = $1", job, TASKS))
        weight = Weight(agent)
        async with weight.watched():
            broker.kill()
            sign.touch()

            async def ended() -> bool:
                return not children(agent)

            await until(ended)
            spooled = sum(path.stat().st_size for path in (farm.path / "agents" / "agent-1").rglob("*.log"))
            await asyncio.to_thread(broker.start)
            await until(lambda: asked(farm, "SELECT state = 'completed' FROM jobs WHERE id = $1", job))
            size = "SELECT sum(octet_length(text)) >= $1 FROM logs"
            await until(lambda: asked(farm, size, TASKS * (LOG - 64 * 1024)))
        print(f"the agent took {weight.most:.1f} MB more, of {AGENT_MB}, for {spooled / MB:.0f} MB of logs")
        assert spooled > TASKS * LOG * 0.9, "nobody took them"
        assert weight.most < AGENT_MB
        assert await asked(farm, "SELECT count(*) FROM attempts") == TASKS, "each ran once"
        assert not await violations(farm.services.database_url)
