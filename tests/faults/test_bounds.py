"""What an agent holds in memory while the broker is away is bounded, however much its tasks print."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg
import psutil
import pytest

from coordinator.local.farm import LocalFarm
from coordinator.local.part import Part
from coordinator.local.plan import Plan
from coordinator.local.rabbitmq import PrivateRabbit
from coordinator.proof.faults.stage import children
from coordinator.storage.invariants import violations
from schemas.job import JobSpec

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(900)]

MB: Final = 2**20
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
