"""A Flamenco worker's days: it polls, buffers what it cannot send, disappears, and is back; beside a native agent."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from coordinator.local.ports import free_port
from coordinator.operations.pulling import Tell
from coordinator.operations.requests import UnavailableError
from tests.gateways.conftest import Gates
from tests.gateways.flamenco_v3.client import Polling
from tests.support.farm import Farm, running
from tests.support.wire import WireWorker


@asynccontextmanager
async def a_farm(database_url: str, amqp_url: str, port: int, **settings: Any) -> AsyncIterator[Farm]:
    async with running(database_url, amqp_url, gateways="flamenco_v3", http_port=port, **settings) as farm:
        yield farm


async def test_a_day_with_disappearance_and_a_restart_of_the_coordinator(database_url: str, amqp_url: str) -> None:
    port = free_port()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as http:
        worker, doomed = Polling(http, "steady"), Polling(http, "doomed")
        async with a_farm(database_url, amqp_url, port) as farm:
            await worker.awake()
            await doomed.awake()
            await farm.submit(*({"name": f"t{number}"} for number in range(8)), accept_unknown_kinds=True)
            left = await doomed.given()
            async with WireWorker(amqp_url, "node-1") as node:
                await node.online()
                for attempt in (await node.assigned(), await node.assigned()):
                    await node.start(attempt)
                    await node.finish(attempt)
                    await node.verdict(attempt)
                given = await worker.given()
            held = given["uuid"]
        # The coordinator is gone: what the worker has done meanwhile waits.
        await worker.say(held, taskStatus="completed")
        assert len(worker.waiting) == 1
        async with a_farm(database_url, amqp_url, port) as farm:
            await worker.flush()
            assert worker.waiting == []
            gates = Gates(farm)
            (row,) = await farm.rows("SELECT id FROM workers WHERE foreign_id = $1", doomed.uuid)
            await gates.silent(row["id"], 151)
            await farm.until("SELECT connection = 'lost' FROM workers WHERE id = $1", row["id"])
            async with asyncio.timeout(60):
                while not (await farm.rows("SELECT bool_and(state = 'completed') FROM tasks"))[0][0]:
                    await worker.run()
                    if await farm.rows("SELECT 1 FROM workers WHERE id = 'node-1' AND connection <> 'lost'"):
                        await gates.silent("node-1", 600)
            assert (await doomed.update(left["uuid"], taskStatus="completed")).status_code == 409
            assert not await doomed.run()
            assert (await doomed.sign_off()).status_code == 204
            accepted = await farm.rows("SELECT count(*) FROM attempts WHERE accepted GROUP BY task_id")
            assert [row[0] for row in accepted] == [1] * 8


async def test_an_update_that_could_not_be_applied_is_kept_by_its_worker(
    gates: Gates, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cured: their worker takes 503 for the last word and forgets the update; one that breaks off it sends again."""
    worker = Polling(http, "buffers")
    await worker.awake()
    await gates.farm.submit({"name": "a"}, accept_unknown_kinds=True)
    uuid = (await worker.given())["uuid"]
    asked: list[object] = []

    async def away(request: object) -> object:
        asked.append(request)
        raise UnavailableError("the database is not available")

    gate_ask = gates.farm.coordinator.inbox.ask
    monkeypatch.setattr(
        gates.farm.coordinator.inbox, "ask", lambda request: (away if isinstance(request, Tell) else gate_ask)(request)
    )
    await worker.say(uuid, taskStatus="completed")
    assert (len(asked), len(worker.waiting)) == (1, 1)
    monkeypatch.undo()
    await worker.flush()
    assert worker.waiting == []
    assert await gates.farm.rows("SELECT 1 FROM tasks WHERE state = 'completed'")


async def test_closed_registration_leaves_operators_to_make_credentials(database_url: str, amqp_url: str) -> None:
    settings = {"gateways": "flamenco_v3", "flamenco_registration": "closed"}
    async with running(database_url, amqp_url, **settings) as farm:
        gates = Gates(farm)
        async with httpx.AsyncClient(base_url=gates.url, timeout=60) as http:
            worker = Polling(http, "render-07")
            answer = await worker.register()
            assert answer.status_code == 403
            assert "operator" in answer.json()["message"]
            shown = await gates.credential("flamenco_v3", "render-07")
            worker.uuid, worker.secret = shown["username"], shown["password"]
            assert (await worker.sign_on()).json() == {"status_requested": "awake"}
            await worker.changed("awake")
            assert not await worker.run()
