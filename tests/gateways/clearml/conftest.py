"""ClearML agents on a farm that all tests of a module share: each test has workers and queues of its own."""

import time
from typing import Any
from uuid import uuid4

import httpx
import pytest_asyncio

from coordinator.client import AsyncFarmhandClient
from coordinator.gateways.clearml import translate
from tests.gateways.conftest import Gates


class Client:
    """One login: an agent, or any other client, on a machine of this name."""

    def __init__(self, http: httpx.AsyncClient, keys: dict[str, str], host: str = "") -> None:
        self.http = http
        self.keys = (keys["access_key"], keys["secret_key"])
        self.host = {"X-ClearML-Worker": host} if host else {}
        self.token = ""

    async def login(self) -> "Client":
        """Get a token."""
        answer = await self.http.get("/auth.login", auth=self.keys, headers=self.host)
        assert answer.status_code == 200, answer.text
        self.token = answer.json()["data"]["token"]
        return self

    async def call(self, endpoint: str, method: str = "POST", **said: Any) -> httpx.Response:
        """Any endpoint, with a version or without."""
        headers = self.host | ({"Authorization": f"Bearer {self.token}"} if self.token else {})
        return await self.http.request(method, f"/{endpoint}", json=said, headers=headers)

    async def done(self, endpoint: str, **said: Any) -> Any:
        """The data of a call that succeeds."""
        answer = await self.call(endpoint, **said)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    async def code(self, endpoint: str, **said: Any) -> tuple[int, int]:
        """The code and the subcode of a call."""
        answer = await self.call(endpoint, **said)
        meta = answer.json()["meta"]
        assert meta["result_code"] == answer.status_code
        return meta["result_code"], meta["result_subcode"]

    async def report(self, worker: str, **said: Any) -> None:
        """A status report, by our clock."""
        await self.done("workers.status_report", worker=worker, timestamp=int(time.time() * 1000), **said)

    async def listed(self, **said: Any) -> dict[str, dict[str, Any]]:
        """Workers by id."""
        return {one["id"]: one for one in (await self.done("workers.get_all", **said))["workers"]}


class Lab:
    """A farm with its ClearML gateway, and a queue that only this test uses."""

    def __init__(self, gates: Gates, http: httpx.AsyncClient, keys: dict[str, str]) -> None:
        self.gates = gates
        self.farm = gates.farm
        self.http = http
        self.keys = keys
        self.mark = uuid4().hex[:8]
        self.queue = f"queue-{self.mark}"
        self.queue_id = translate.queue_id(self.queue)

    async def client(self, host: str = "") -> Client:
        """One that has logged in."""
        return await Client(self.http, self.keys, host).login()

    def worker(self, name: str = "w") -> str:
        """An id that only this test uses."""
        return f"{name}-{self.mark}:0"

    async def submit(self, *names: str, queue: str | None = None, script: str = "print('hello')", **job: Any) -> int:
        """A job of tasks for ClearML's agents, in this test's queue."""
        tasks = [
            {"name": name, "kind": "clearml", "queue": queue or self.queue, "retries": 1,
             "commands": [{"name": "clearml", "parameters": {"script": script}}]}
            for name in names
        ]  # fmt: skip
        return (await self.farm.submit(*tasks, accept_unknown_kinds=True, **job)).job

    async def row(self, worker: str) -> dict[str, Any]:
        """The worker's row, with its liveness."""
        return dict(await self.gates.worker(translate.name_of(worker)))

    async def story(self, worker: str) -> list[str]:
        """What was noted of it."""
        sql = "SELECT event FROM history WHERE worker_id = $1 ORDER BY id"
        return [row["event"] for row in await self.farm.rows(sql, translate.name_of(worker))]

    def operator(self) -> AsyncFarmhandClient:
        """What operators work with."""
        return AsyncFarmhandClient(self.gates.url, actor="tester")


@pytest_asyncio.fixture(loop_scope="module")
async def lab(shared_gates: Gates, shared_http: httpx.AsyncClient) -> Lab:
    """Names of its own on the shared farm, and a credential."""
    return Lab(shared_gates, shared_http, await shared_gates.credential("clearml", f"lab-{uuid4().hex[:8]}"))
