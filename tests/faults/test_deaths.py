"""Real agents, coordinators and a real broker: a killed agent is missed by the broker's word, and a broker that drops
everybody's connections at once makes nobody lose anything.
"""

import asyncio
import re
import sys
from pathlib import Path

import asyncpg
import pytest

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations
from schemas.job import JobSpec
from tests.faults.test_kills import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

#: Leaves a mark, and goes on until it is told to end.
CODE = """
import os, sys, time
marks, enough = sys.argv[1:]
open(marks, "a").write("x")
while not os.path.exists(enough):
    time.sleep(0.05)
"""
ALL_RUN = "SELECT count(*) = 4 FROM tasks WHERE state = 'running'"
ALL_BACK = """
SELECT count(*) = 4 AND bool_and(connection = 'online') AND NOT EXISTS (SELECT FROM freezes)
  FROM workers WHERE connection_name <> ALL('{{{}}}')
"""


async def rows(farm: LocalFarm, sql: str) -> list[asyncpg.Record]:
    """What the database says."""
    connection = await asyncpg.connect(farm.services.database_url)
    try:
        return await connection.fetch(sql)
    finally:
        await connection.close()


async def test_all_connections_are_dropped_and_then_an_agent_is_killed(tmp_path: Path) -> None:
    marks, enough = tmp_path / "marks", tmp_path / "enough"
    settings = {"FARMHAND_RECONNECT_GRACE_S": "10"}
    async with LocalFarm(Plan(agents=4, slots=1, coordinators=2, settings=settings)) as farm:
        argv = [sys.executable, "-I", "-S", "-c", CODE, str(marks), str(enough)]
        task = {"name": "hold", "kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": argv}}]}
        spec = JobSpec.model_validate({"name": "hold", "tasks": [task | {"array": {"count": 4}}]})
        async with farm.client() as client:
            await client.submit(spec)
        await until(farm, ALL_RUN)
        await until(farm, "SELECT bool_and(hears_broker) FROM coordinators")
        names = ",".join(row[0] for row in await rows(farm, "SELECT connection_name FROM workers"))
        assert len(re.findall(r"/c\d+(?:,|$)", names)) == 4

        assert farm.services.rabbitmq is not None
        await asyncio.to_thread(farm.services.rabbitmq.ctl, "close_all_connections", "test")

        await until(farm, ALL_BACK.format(names), within_s=90)
        assert [row[0] for row in await rows(farm, "SELECT max(attempt) FROM attempts")] == [1]
        assert await rows(farm, "SELECT FROM history WHERE event = 'worker.lost'") == []
        assert marks.read_text() == "xxxx"

        # Agents who ran all the while; one of them dies with what it runs, and another one is there for that.
        await until(farm, "SELECT bool_and(hears_broker) FROM coordinators")
        await farm.add_agent("spare", slots=1)
        farm.kill("agent-1")
        await until(farm, "SELECT count(*) = 1 FROM attempts WHERE attempt = 2 AND state = 'running'")
        lost = await rows(farm, "SELECT id, reason FROM workers WHERE connection = 'lost'")
        assert [tuple(row) for row in lost] == [("agent-1", "its connection closed")]
        enough.touch()
        await until(farm, "SELECT state = 'completed' FROM jobs")
        assert marks.read_text() == "xxxxx"
        assert await violations(farm.services.database_url) == []
