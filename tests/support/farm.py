"""A coordinator inside the test's own loop, on real services, with what a test asks of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from asyncpg import Record

from coordinator.app import Coordinator
from coordinator.config import Settings
from coordinator.local.ports import free_port
from coordinator.operations.replay import Desk
from coordinator.operations.requests import SubmitJob, Submitted
from coordinator.storage.invariants import violations
from schemas.job import JobSpec


class Farm:
    """A running coordinator and its database."""

    def __init__(self, coordinator: Coordinator, desk: Desk, database_url: str, amqp_url: str) -> None:
        self.coordinator = coordinator
        self.desk = desk
        self.database_url = database_url
        self.amqp_url = amqp_url

    async def submit(self, *tasks: dict[str, Any], **job: Any) -> Submitted:
        """Submit a job of *tasks*."""
        fields: dict[str, Any] = {"name": "job", "tasks": [a_task(**task) for task in tasks]} | job
        return await self.desk.ask(SubmitJob(JobSpec.model_validate(fields), "tester"))

    async def rows(self, sql: str, *arguments: Any) -> list[Record]:
        """What the database says."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return await connection.fetch(sql, *arguments)
        finally:
            await connection.close()

    async def until(self, sql: str, *arguments: Any, within_s: float = 60.0) -> Any:
        """Wait until the first value of *sql* is true; that value. Asks again whenever the history has grown."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with asyncio.timeout(within_s):
                while True:
                    value = await connection.fetchval(sql, *arguments)
                    if value:
                        return value
                    await connection.fetchval("SELECT pg_sleep(0.05)")
        finally:
            await connection.close()

    async def state(self, task: int) -> str:
        """A task's state."""
        return str((await self.rows("SELECT state FROM tasks WHERE id = $1", task))[0][0])


def a_task(**fields: Any) -> dict[str, Any]:
    """A task with everything defaulted."""
    defaults: dict[str, Any] = {"name": "task", "kind": "echo", "commands": [{"name": "echo"}]}
    return defaults | fields


@asynccontextmanager
async def running(database_url: str, amqp_url: str, **settings: Any) -> AsyncIterator[Farm]:
    """A coordinator, ready; when it has stopped, every invariant of its farm must hold.

    One that is `hurried` gives up silent workers, and ends leases, after three seconds, which no settings allow.
    """
    defaults: dict[str, Any] = {"http_port": free_port()}
    hurried = settings.pop("hurried", False)
    valid = Settings(database_url=database_url, amqp_url=amqp_url, **(defaults | settings))
    coordinator = Coordinator(valid.model_copy(update={"heartbeat_s": 0.5, "lost_after_s": 3.0} if hurried else {}))
    task = asyncio.create_task(coordinator.run())
    ready = asyncio.create_task(coordinator.ready.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        ready.cancel()
        task.result()
    try:
        yield Farm(coordinator, coordinator.desk, database_url, amqp_url)
    finally:
        coordinator.stop()
        await task
        found = await violations(database_url)
        assert not found, found
