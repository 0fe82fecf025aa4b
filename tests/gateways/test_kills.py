"""A coordinator is killed, as by a power cut, again and again while clients of three gateways call: nothing is lost."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from coordinator.client import AsyncFarmhandClient
from coordinator.gateways.openwork.routes import fresh_typeid
from coordinator.local.part import Part
from coordinator.local.plan import Places, Plan, a_coordinator
from coordinator.local.ports import free_port
from coordinator.storage.invariants import violations
from schemas.job import JobSpec
from tests.gateways.flamenco_v3.client import Polling

pytestmark = [pytest.mark.extensive, pytest.mark.timeout(300)]

TASKS = 60


class Farm:
    """One coordinator, a process of its own, that is ended and started again."""

    def __init__(self, database: asyncpg.Connection, part: Part, url: str) -> None:
        self.database = database
        self.part = part
        self.url = url

    async def start(self) -> None:
        """Start it; returns when it answers."""
        self.part.start()
        async with httpx.AsyncClient(base_url=self.url) as http:
            while not await _ready(http):
                assert self.part.running, self.part.failure("ended")

    async def completed(self, count: int) -> None:
        """Return when so many tasks are."""
        while await self.database.fetchval("SELECT count(*) FROM tasks WHERE state = 'completed'") < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        await asyncio.sleep(0.05)
        return False


@asynccontextmanager
async def a_farm(database_url: str, amqp_url: str, directory: Path) -> AsyncIterator[Farm]:
    (directory / "logs").mkdir()
    port = free_port()
    plan = Plan(settings={"FARMHAND_GATEWAYS": "all"})
    part = a_coordinator("one", plan, Places(directory, directory, database_url, amqp_url), str(port))
    farm = Farm(await asyncpg.connect(database_url), part, f"http://127.0.0.1:{port}")
    try:
        await farm.start()
        yield farm
    finally:
        await part.stop()
        await farm.database.close()


class Hears(Polling):
    """Notes what its updates are answered, and bears that nobody answers."""

    def __init__(self, http: httpx.AsyncClient, name: str) -> None:
        super().__init__(http, name)
        self.answers: set[int] = set()

    async def update(self, task: str, **said: Any) -> httpx.Response:
        """Say what has become of it."""
        answer = await super().update(task, **said)
        self.answers.add(answer.status_code)
        return answer

    async def live(self) -> None:
        """For ever: send what waits, then ask for work."""
        while True:
            try:
                await self.flush()
                await self.run()
            except httpx.TransportError:
                await asyncio.sleep(0.01)


class Beats:
    """Sends heartbeats for ever, each a second later by its own clock, and knows the newest that was answered."""

    def __init__(self, send: Callable[[datetime], Awaitable[httpx.Response]]) -> None:
        self._send = send
        self.newest = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)

    async def live(self) -> None:
        """For ever."""
        now = self.newest
        while True:
            now += timedelta(seconds=1)
            try:
                answer = await self._send(now)
            except httpx.TransportError:
                await asyncio.sleep(0.01)
            else:
                assert answer.status_code == httpx.codes.OK, answer.text
                self.newest = now


async def test_what_was_answered_is_kept_and_what_was_not_is_said_again(
    database_url: str, amqp_url: str, tmp_path: Path
) -> None:
    async with a_farm(database_url, amqp_url, tmp_path) as farm, httpx.AsyncClient(base_url=farm.url) as http:
        typeid = fresh_typeid()
        async with AsyncFarmhandClient(farm.url, actor="tester") as client:
            openwork = (await client.create_credential("openwork", typeid)).shown["token"]
            stencila = (await client.create_credential("stencila", "overseer")).shown["token"]
            task = {"name": "t", "kind": "echo", "commands": [{"name": "echo"}], "array": {"count": TASKS}}
            await client.submit(JobSpec.model_validate({"name": "j", "tasks": [task], "accept_unknown_kinds": True}))

        def beat(now: datetime) -> Awaitable[httpx.Response]:
            body = {"isActiveRecently": True, "sentAt": now.isoformat().replace("+00:00", "Z")}
            path, headers = f"/v1/workers/{typeid}/activity-heartbeat", {"Authorization": f"Bearer {openwork}"}
            return http.post(path, json=body, headers=headers)

        def event(now: datetime) -> Awaitable[httpx.Response]:
            body = {"hostname": "celery@a", "pid": 1, "freq": 60.0, "active": 1, "timestamp": now.timestamp()}
            return http.post("/api/workers/heartbeat", json=body, headers={"Authorization": f"Token {stencila}"})

        workers = [Hears(http, f"render-{number}") for number in range(3)]
        for worker in workers:
            await worker.awake()
        beats = [Beats(beat), Beats(event)]
        lives = [
            asyncio.create_task(life) for life in (*(one.live() for one in workers), *(one.live() for one in beats))
        ]
        for count in (TASKS // 4, TASKS // 2):
            await farm.completed(count)
            farm.part.kill()
            await farm.start()
        await farm.completed(3 * TASKS // 4)
        await farm.part.stop()  # in good order: nobody who has called is answered with an error
        await farm.start()
        await farm.completed(TASKS)
        for life in lives:
            life.cancel()
        ended = await asyncio.gather(*lives, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended

        assert [worker.answers for worker in workers] == [{204}] * 3
        # What was assigned and not told is told to the same worker; what was said and not answered is said again.
        assert await farm.database.fetchval("SELECT count(*) FROM attempts WHERE accepted") == TASKS
        assert await farm.database.fetchval("SELECT count(*) FROM attempts") == TASKS
        told = await farm.database.fetch(
            "SELECT told_at FROM worker_liveness JOIN workers ON id = worker_id"
            " WHERE protocol IN ('openwork', 'stencila') ORDER BY protocol"
        )
        assert all(row["told_at"] >= one.newest for row, one in zip(told, beats, strict=True)), told
    assert await violations(database_url) == []
