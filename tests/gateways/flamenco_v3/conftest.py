"""Flamenco workers on a farm that all tests of a module share: each test has workers and task types of its own."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from coordinator.client import AsyncFarmhandClient
from tests.gateways.conftest import Gates
from tests.gateways.flamenco_v3.client import Worker


class Studio:
    """A farm with its Flamenco gateway, and a task type that only this test uses."""

    def __init__(self, gates: Gates, http: httpx.AsyncClient) -> None:
        self.gates = gates
        self.farm = gates.farm
        self.http = http
        self.kind = f"type-{uuid4().hex[:8]}"

    def worker(self, name: str = "", **more: Any) -> Worker:
        """One that has not said anything."""
        return Worker(self.http, name, (self.kind,), **more)

    async def awake(self, name: str = "") -> Worker:
        """One that is ready."""
        return await self.worker(name).awake()

    async def submit(self, *tasks: dict[str, Any], **job: Any) -> int:
        """A job; tasks are of this test's type, and say hello."""
        defaults = {"kind": self.kind, "commands": [{"name": "echo", "parameters": {"message": "hello"}}]}
        return (await self.farm.submit(*(defaults | task for task in tasks), accept_unknown_kinds=True, **job)).job

    async def row(self, worker: Worker) -> dict[str, Any]:
        """The worker's row."""
        (row,) = await self.farm.rows(
            "SELECT w.*, l.last_seen_at FROM workers w JOIN worker_liveness l ON l.worker_id = w.id"
            " WHERE w.foreign_id = $1",
            worker.uuid,
        )
        return dict(row)

    async def tasks(self, job: int) -> list[str]:
        """The states of a job's tasks."""
        rows = await self.farm.rows("SELECT state FROM tasks WHERE job_id = $1 ORDER BY id", job)
        return [row["state"] for row in rows]

    def client(self) -> AsyncFarmhandClient:
        """What operators work with."""
        return AsyncFarmhandClient(self.gates.url, actor="tester")

    async def ask(self, worker: Worker, state: str, **more: Any) -> None:
        """What an operator asks of it."""
        async with self.client() as client:
            await client.request_worker_state((await self.row(worker))["id"], state, **more)


@pytest_asyncio.fixture(loop_scope="module")
async def studio(shared_gates: Gates, shared_http: httpx.AsyncClient) -> Studio:
    """A task type of its own on the shared farm."""
    return Studio(shared_gates, shared_http)


@pytest.fixture
def uuid_of_nobody() -> Callable[[], str]:
    """UUIDs that name nothing."""
    return lambda: str(uuid4())
