"""Ten thousand small tasks through five agents of two hundred slots: each completed, each accepted exactly once."""

import asyncio

import asyncpg
import pytest

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations
from coordinator.storage.tally import tally
from schemas.job import JobSpec

TASKS = 10_000


@pytest.mark.timeout(240)
async def test_ten_thousand_echo_tasks_are_each_accepted_exactly_once() -> None:
    echo = {"name": "echo", "parameters": {"message": "hello {{index}}"}}
    task = {"name": "echo", "kind": "echo", "commands": [echo], "array": {"count": TASKS}}
    async with LocalFarm(Plan(agents=5, slots=200)) as farm:
        async with farm.client() as client:
            job = (await client.submit(JobSpec.model_validate({"name": "many", "tasks": [task]}))).job
        connection = await asyncpg.connect(farm.services.database_url)
        async with asyncio.timeout(180):
            while not await connection.fetchval("SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1", job):
                await connection.fetchval("SELECT pg_sleep(0.2)")
            while await connection.fetchval("SELECT count(*) FROM logs") < TASKS:
                await connection.fetchval("SELECT pg_sleep(0.2)")

        done = await tally(farm.services.database_url, job)

        assert (done.tasks, done.completed, done.not_exactly_once) == (TASKS, TASKS, 0)
        accepted = "SELECT count(*) FROM attempts WHERE accepted AND ending = 'completed'"
        assert await connection.fetchval(accepted) == TASKS
        assert await connection.fetchval("SELECT count(*) FROM history WHERE event = 'task.completed'") == TASKS
        assert await violations(farm.services.database_url) == []
        await connection.close()
