"""SIGKILL of any one process, and worse, while the demo's job runs: it completes, each task accepted exactly once.

Real processes on real services of the test's own. A killed coordinator, broker or database is started again after three
seconds (of the database's clock or the kernel's: nothing here sleeps in Python), a killed agent is not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aio_pika
import asyncpg
import pytest

from coordinator.local.demo.job import zoom
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations
from coordinator.storage.tally import tally
from schemas import topology

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]
FRAMES = 16
WITHIN_S = 180.0


@asynccontextmanager
async def at_work(coordinators: int = 1) -> AsyncIterator[tuple[LocalFarm, int]]:
    """A farm that has done a part of the demo's job; at the end the whole of it must be done, and rightly."""
    plan = Plan(agents=3, coordinators=coordinators)
    async with LocalFarm(plan) as farm:
        async with farm.client() as client:
            job = (await client.submit(zoom(FRAMES, 1))).job
        await until(farm, "SELECT n_completed >= 3 AND n_running > 0 FROM jobs")

        yield farm, job

        await until(farm, "SELECT state <> 'active' FROM jobs", within_s=WITHIN_S)
        done = await tally(farm.services.database_url, job)
        assert (done.tasks, done.completed, done.not_exactly_once) == (FRAMES + 1, FRAMES + 1, 0)
        assert await violations(farm.services.database_url) == []


async def until(farm: LocalFarm, question: str, *, within_s: float = 60.0) -> None:
    """Wait until the database answers *question* with true, through restarts of the database."""
    async with asyncio.timeout(within_s):
        while True:
            try:
                connection = await asyncpg.connect(farm.services.database_url, timeout=5)
                try:
                    while not await connection.fetchval(question):
                        await connection.fetchval("SELECT pg_sleep(0.2)")
                    return
                finally:
                    connection.terminate()
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await three_seconds()


async def three_seconds() -> None:
    """Let three seconds pass outside this process."""
    process = await asyncio.create_subprocess_exec("sleep", "3")
    await process.wait()


async def test_a_killed_agent_is_not_missed() -> None:
    async with at_work() as (farm, _):
        farm.kill("agent-1")


async def test_a_killed_coordinator_goes_on_where_it_was() -> None:
    async with at_work() as (farm, _):
        farm.kill("coordinator-1")
        await three_seconds()
        await farm.restart("coordinator-1")


@pytest.mark.parametrize("server", ["rabbitmq", "postgres"])
async def test_a_killed_server_loses_nothing(server: str) -> None:
    async with at_work() as (farm, _):
        victim = getattr(farm.services, server)
        await asyncio.to_thread(victim.kill)
        await three_seconds()
        await asyncio.to_thread(victim.restart)


async def test_two_coordinators_do_the_work_of_one_and_one_of_them_can_be_killed() -> None:
    async with at_work(coordinators=2) as (farm, _):
        farm.kill("coordinator-2")


async def test_all_queues_deleted_in_the_middle_change_nothing() -> None:
    async with at_work() as (farm, _):
        connection = await aio_pika.connect(farm.services.amqp_url)
        async with connection:
            channel = await connection.channel()
            for queue in (
                *(queue.name for queue in topology.QUEUES),
                *(topology.worker_queue(name).name for name in farm.agents),
            ):
                await channel.queue_delete(queue)
