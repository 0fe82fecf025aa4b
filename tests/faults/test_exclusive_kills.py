"""A coordinator and an agent killed, a coordinator stopped, an agent cut off, while an exclusive task runs, with a real
farm's leases: no overlap.
"""

import signal
from pathlib import Path

import asyncpg
import pytest

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.proxy import Proxy
from coordinator.storage.invariants import violations
from schemas.job import JobSpec
from tests.faults.test_kills import three_seconds, until
from tests.support import ticks

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(300)]

RUNS = "SELECT count(*) > 0 FROM attempts WHERE attempt = {} AND done = 1"


def exclusive(book: Path, enough: Path) -> JobSpec:
    argv = ticks.argv("run", book, enough)
    command = {"name": "exec", "parameters": {"argv": argv}}
    task = {"name": "only", "kind": "exec", "exclusive": True, "commands": [command]}
    return JobSpec.model_validate({"name": "exclusive", "tasks": [task]})


async def holder(farm: LocalFarm, attempt: int = 1) -> str:
    connection = await asyncpg.connect(farm.services.database_url)
    try:
        return str(await connection.fetchval("SELECT worker_id FROM attempts WHERE attempt = $1", attempt))
    finally:
        await connection.close()


async def test_a_coordinator_and_then_the_agent_are_killed(tmp_path: Path) -> None:
    book, enough = tmp_path / "book", tmp_path / "enough"
    async with LocalFarm(Plan(agents=2)) as farm:
        async with farm.client() as client:
            await client.submit(exclusive(book, enough))
        await until(farm, RUNS.format(1))
        farm.kill("coordinator-1")
        await three_seconds()
        await farm.restart("coordinator-1")
        await until(farm, "SELECT until > farm_now() + interval '20 s' FROM leases")
        assert len(ticks.runs(book)) == 1, "a short absence interrupts nothing"

        farm.kill(await holder(farm), with_tasks=False)

        await until(farm, RUNS.format(2), within_s=120)
        enough.touch()
        await until(farm, "SELECT state = 'completed' FROM jobs")
        assert len(ticks.runs(book)) == 2
        assert ticks.overlaps(book) == []
        assert await violations(farm.services.database_url) == []


async def test_a_coordinator_is_stopped_for_longer_than_a_lease(tmp_path: Path) -> None:
    book, enough = tmp_path / "book", tmp_path / "enough"
    async with LocalFarm(Plan(agents=2)) as farm:
        async with farm.client() as client:
            await client.submit(exclusive(book, enough))
        await until(farm, RUNS.format(1))
        farm.coordinators["coordinator-1"].signal(signal.SIGSTOP)
        try:
            # Nobody renews the lease: the run is over before it is, and nobody can give the task to another.
            await until(farm, "SELECT free_at < farm_now() FROM leases WHERE attempt = 1")
            (only,) = ticks.runs(book).values()
        finally:
            farm.coordinators["coordinator-1"].signal(signal.SIGCONT)
        await until(farm, RUNS.format(2), within_s=120)
        enough.touch()
        await until(farm, "SELECT state = 'completed' FROM jobs")
        assert len(ticks.runs(book)) == 2
        assert min(ticks.runs(book).values()) == only
        assert ticks.overlaps(book) == []
        assert await violations(farm.services.database_url) == []


async def test_an_agents_connection_closes_and_it_cannot_come_back_without_a_grace(tmp_path: Path) -> None:
    book, enough = tmp_path / "book", tmp_path / "enough"
    names = ("agent-1", "agent-2")
    async with Proxy() as one, Proxy() as other:
        hops = dict(zip(names, (one, other), strict=True))

        def through(name: str, url: str) -> str:
            return hops[name].through(url) if name in hops else url

        settings = {"FARMHAND_RECONNECT_GRACE_S": "0"}
        async with LocalFarm(Plan(agents=2, settings=settings, through=through, apart=True)) as farm:
            await until(farm, "SELECT bool_and(hears_broker) FROM coordinators")
            async with farm.client() as client:
                await client.submit(exclusive(book, enough))
            await until(farm, RUNS.format(1))
            cut_off = await holder(farm)
            hops[cut_off].unplug()
            await until(farm, f"SELECT connection = 'lost' FROM workers WHERE id = '{cut_off}'")
            # Lost at once, by the broker's word; given away only when its lease is over.
            await until(farm, "SELECT bool_and(state = 'scheduled') FROM tasks")
            await until(farm, RUNS.format(2), within_s=120)
            await hops[cut_off].plug()
            enough.touch()
            await until(farm, "SELECT state = 'completed' FROM jobs")
            assert await holder(farm, 2) != cut_off
            assert len(ticks.runs(book)) == 2
            assert ticks.overlaps(book) == []
            assert await violations(farm.services.database_url) == []
