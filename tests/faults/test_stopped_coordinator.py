"""One of two coordinators is stopped and goes on later: it holds half of all heartbeats, and nobody is lost by that."""

import asyncio
import signal

import pytest

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations
from tests.faults.test_deaths import rows
from tests.faults.test_kills import until

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(400)]
AGENTS = 20


async def test_a_coordinator_that_is_stopped_for_10_30_and_60_s_loses_no_worker() -> None:
    async with LocalFarm(Plan(agents=AGENTS, slots=1, coordinators=2)) as farm:
        for seconds in (10, 30, 60):
            await until(farm, f"SELECT count(*) = {AGENTS} FROM workers WHERE connection = 'online'")
            farm.coordinators["coordinator-1"].signal(signal.SIGSTOP)
            process = await asyncio.create_subprocess_exec("sleep", str(seconds))
            await process.wait()
            farm.coordinators["coordinator-1"].signal(signal.SIGCONT)

            await until(farm, "SELECT count(*) = 2 FROM coordinators WHERE seen_at > farm_now() - interval '3 s'")
            await until(farm, f"SELECT count(*) = {AGENTS} FROM workers WHERE connection = 'online'", within_s=60)
            assert await rows(farm, "SELECT worker_id, detail FROM history WHERE event = 'worker.lost'") == []
        assert await violations(farm.services.database_url) == []
