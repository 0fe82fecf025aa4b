"""Idle policies on workers behind gateways: who can be stopped is asked for, in doubt nothing is stopped."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.gateways.openwork import routes, translate
from coordinator.gateways.openwork.routes import fresh_typeid
from coordinator.operations.tending import TendIdle
from tests.gateways.conftest import Gates
from tests.support.farm import running


@dataclass
class Provider:
    """Who has the machines: answers as it is told, and remembers what it was asked."""

    answer: bytes = b"200 OK"
    asked: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""
    question: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one question."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length:")[2].split()[0])
        self.asked.append(json.loads(await reader.readexactly(length)))
        self.question.set()
        writer.write(
            b"HTTP/1.1 %s\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n" % self.answer
        )
        await writer.drain()
        writer.close()

    async def asked_again(self) -> None:
        """Wait until it was asked twice more, so that its answer to the first is known."""
        so_far = len(self.asked)
        async with asyncio.timeout(60):
            while len(self.asked) < so_far + 2:
                self.question.clear()
                await self.question.wait()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """One that listens."""
    made = Provider()
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/stop"
    async with server:
        yield made


@pytest.fixture
async def gates(
    database_url: str,
    amqp_url: str,
    provider: Provider,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Gates]:
    """A farm that has somebody who stops workers, and asks him soon."""
    monkeypatch.setattr(routes, "EVERY_S", 0.1)
    url = "" if getattr(request, "param", None) == "nobody" else provider.url
    async with running(database_url, amqp_url, gateways="all", openwork_stop_url=url) as farm:
        yield Gates(farm)


@dataclass
class Idle:
    """A worker that can be made idle."""

    gates: Gates
    http: httpx.AsyncClient
    id: str
    token: str

    @property
    def name(self) -> str:
        """What it is called here."""
        return translate.name_of(self.id)

    async def beat(self, *, active: bool = False, sessions: int = 0) -> None:
        """Say something."""
        body = {"isActiveRecently": active, "openSessionCount": sessions}
        path = f"/v1/workers/{self.id}/activity-heartbeat"
        answer = await self.http.post(path, json=body, headers={"Authorization": f"Bearer {self.token}"})
        assert answer.status_code == 200

    async def idle_for(self, minutes: int) -> None:
        """So long ago it was active, and the policies are looked at."""
        farm = self.gates.farm
        await farm.rows(
            "UPDATE worker_liveness SET last_activity_at = farm_now() - make_interval(mins => $2) WHERE worker_id = $1",
            self.name,
            minutes,
        )
        await farm.rows("UPDATE workers SET idle_refused_at = NULL WHERE id = $1", self.name)
        farm.coordinator.inbox.post(TendIdle())
        await self.beat()

    async def row(self) -> dict[str, Any]:
        """As it is here."""
        return await self.gates.worker(self.name)

    async def story(self) -> list[str]:
        """What happened to it."""
        rows = await self.gates.farm.rows("SELECT event FROM history WHERE worker_id = $1 ORDER BY id", self.name)
        return [row["event"] for row in rows]


@pytest.fixture
async def worker(gates: Gates, http: httpx.AsyncClient) -> Idle:
    """An OpenWork worker that has been heard."""
    typeid = fresh_typeid()
    made = await gates.credential("openwork", typeid)
    worker = Idle(gates, http, typeid, made["token"])
    await worker.beat()
    return worker


async def test_an_idle_worker_is_stopped_when_its_provider_says_so_and_not_before(
    worker: Idle, provider: Provider
) -> None:
    farm = worker.gates.farm
    asked_for = "SELECT requested_state IS NOT NULL FROM workers WHERE id = $1"
    async with AsyncFarmhandClient(worker.gates.url) as client:
        await client.set_idle_policy(worker.name, "stop", after_s=1800)
    await worker.idle_for(29)
    assert (await worker.row())["requested_state"] is None

    for answer in (b"500 Oh", b"302 Found"):
        provider.answer = answer
        await worker.idle_for(31)
        await farm.until(asked_for, worker.name)
        await provider.asked_again()
        row = await worker.row()
        assert (row["connection"], row["requested_state"]) == ("online", "offline"), answer
    question = {
        "workerId": worker.id,
        "onlyIfIdle": True,
        "reason": "idle for 30 minutes",
        "requestedBy": "idle policy",
    }
    assert provider.asked[-1] == question

    provider.answer = b"409 Busy"
    await farm.until("SELECT requested_state IS NULL AND connection = 'online' FROM workers WHERE id = $1", worker.name)

    provider.answer = b"204 No Content"
    await worker.idle_for(31)
    await farm.until(
        "SELECT requested_state IS NULL AND connection = 'offline' FROM workers WHERE id = $1", worker.name
    )
    await worker.beat(active=True)
    row = await worker.row()
    assert (row["connection"], row["requested_state"]) == ("online", None)


@pytest.mark.parametrize("activity", [{"active": True}, {"sessions": 1}])
async def test_who_is_active_again_is_not_stopped(worker: Idle, provider: Provider, activity: dict[str, Any]) -> None:
    farm = worker.gates.farm
    provider.answer = b"500 Not now"
    async with AsyncFarmhandClient(worker.gates.url) as client:
        await client.set_idle_policy(worker.name, "stop", after_s=1800)
    await worker.idle_for(31)
    await farm.until("SELECT requested_state = 'offline' FROM workers WHERE id = $1", worker.name)
    await worker.beat(**activity)
    await farm.until("SELECT requested_state IS NULL AND connection = 'online' FROM workers WHERE id = $1", worker.name)
    assert "worker.offline_refused" in await worker.story()


@pytest.mark.parametrize("gates", ["nobody"], indirect=True)
async def test_without_anybody_who_could_stop_it_the_question_is_refused(worker: Idle) -> None:
    farm = worker.gates.farm
    async with AsyncFarmhandClient(worker.gates.url) as client:
        await client.request_worker_state(worker.name, "offline")
        with pytest.raises(FarmhandError, match="OpenWork protocol cannot ask it to drain"):
            await client.request_worker_state(worker.name, "drain")
    await farm.until("SELECT count(*) > 0 FROM history WHERE event = 'worker.offline_refused'")
    (row,) = await farm.rows("SELECT detail FROM history WHERE event = 'worker.offline_refused'")
    assert "FARMHAND_OPENWORK_STOP_URL" in row["detail"]
    assert (await worker.row())["connection"] == "online"


async def test_a_hub_worker_can_be_told_of_and_not_stopped(gates: Gates, http: httpx.AsyncClient) -> None:
    token = (await gates.credential("stencila", "render-07"))["token"]
    headers = {"Authorization": f"Token {token}"}
    await http.post("/api/workers/online/", headers=headers)
    name = (await gates.farm.rows("SELECT id FROM workers"))[0]["id"]
    async with AsyncFarmhandClient(gates.url) as client:
        with pytest.raises(FarmhandError, match="it can be told of: --notify"):
            await client.set_idle_policy(name, "stop", after_s=60)
        await client.set_idle_policy(None, "stop", after_s=60)
    await gates.farm.rows("UPDATE worker_liveness SET last_activity_at = farm_now() - interval '2 minutes'")
    gates.farm.coordinator.inbox.post(TendIdle())
    await gates.farm.until("SELECT count(*) = 1 FROM history WHERE event = 'worker.idle'")
    assert (await gates.worker(name))["requested_state"] is None
