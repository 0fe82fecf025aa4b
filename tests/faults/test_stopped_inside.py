"""A coordinator is stopped, inside a transaction and between two: nothing that it has decided is committed later, and
another coordinator goes on meanwhile.
"""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.proxy import Proxy, Way
from coordinator.storage.invariants import violations
from schemas.job import JobSpec
from schemas.views import Submitted
from tests.faults.test_deaths import rows
from tests.faults.test_kills import until

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(400)]

STOPPED, OTHER = "coordinator-1", "coordinator-2"
#: A transaction whose client has been silent for a while.
INSIDE = """
  FROM pg_stat_activity
 WHERE datname = current_database() AND application_name = 'farmhand' AND xact_start IS NOT NULL
   AND wait_event = 'ClientRead' AND state_change < clock_timestamp() - interval '0.5 s'
"""


def a_job(name: str, key: str) -> JobSpec:
    task = {"name": "echo", "kind": "echo", "commands": [{"name": "echo"}]}
    return JobSpec.model_validate({"name": name, "key": key, "tasks": [task]})


async def submitted(client: AsyncFarmhandClient, spec: JobSpec) -> Submitted:
    """Ask until there is an answer: whoever is told that the database is away asks again."""
    async with asyncio.timeout(90):
        while True:
            try:
                return await client.submit(spec)
            except FarmhandError as error:
                if "not available" not in str(error) and "not answered" not in str(error):
                    raise


@asynccontextmanager
async def stopped(farm: LocalFarm) -> AsyncIterator[None]:
    farm.coordinators[STOPPED].signal(signal.SIGSTOP)
    try:
        yield
    finally:
        farm.coordinators[STOPPED].signal(signal.SIGCONT)


async def stop_inside(farm: LocalFarm, hop: Proxy, words: bytes, key: str) -> None:
    """Stop the one while it submits a job, as soon as it has said *words* to the database."""
    async with farm.client(STOPPED) as first, farm.client(OTHER) as second:
        said = asyncio.create_task(hop.said(words, hold=Way.DOWN))
        await asyncio.sleep(0)
        asking = asyncio.create_task(submitted(first, a_job("given up", key)))
        async with asyncio.timeout(60):
            await said
        async with stopped(farm):
            await until(farm, f"SELECT count(*) = 1 {INSIDE} AND backend_xid IS NOT NULL")
            ((number,),) = await rows(farm, f"SELECT backend_xid::text {INSIDE} AND backend_xid IS NOT NULL")
            hop.flow()
            # The other one waits for the farm's lock no longer than the first one is allowed to sit on it.
            taken = await submitted(second, a_job("taken", key))
            assert taken.created
            await until(farm, "SELECT bool_and(state = 'completed') FROM jobs")
            assert (await rows(farm, f"SELECT pg_xact_status('{number}'::xid8)"))[0][0] == "aborted"
        # It decides again, by what is so now.
        again = await asking
        assert (again.job, again.created) == (taken.job, False)


async def test_what_a_stopped_coordinator_has_decided_is_not_committed_later() -> None:
    async with Proxy() as hop:

        def through(name: str, url: str) -> str:
            return hop.through(url) if name == STOPPED and url.startswith("postgresql") else url

        async with LocalFarm(Plan(agents=1, coordinators=2, through=through)) as farm:
            # A statement is prepared: the job is written, and the server waits for the values of what comes next.
            await stop_inside(farm, hop, b"INSERT INTO specs", "in the middle of a statement")
            # A statement is done: the job is written, and the server waits for the next statement.
            await stop_inside(farm, hop, b"given up", "between two statements")

            async with farm.client(STOPPED) as first, farm.client(OTHER) as second:
                while True:
                    async with stopped(farm):
                        await rows(farm, "SELECT pg_sleep(0.6)")
                        if (await rows(farm, f"SELECT count(*) > 0 {INSIDE}"))[0][0]:
                            continue
                        asking = asyncio.create_task(submitted(first, a_job("given up", "between two")))
                        taken = await submitted(second, a_job("taken", "between two"))
                        await until(farm, "SELECT bool_and(state = 'completed') FROM jobs")
                    again = await asking
                    assert (again.job, again.created) == (taken.job, False)
                    break

            assert [row["name"] for row in await rows(farm, "SELECT name FROM jobs")] == ["taken"] * 3
            assert await violations(farm.services.database_url) == []
