"""Queues that refuse messages, by a policy of the broker's operator: what is refused goes again, on a fresh channel and
not at once, and arrives in the end.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import aio_pika
import httpx
import pytest
import structlog
from aio_pika.exceptions import DeliveryError

from coordinator.local.services import Services
from schemas.envelope import ToWorker
from schemas.task import AssignedAttempt, Verdict
from schemas.topology import EVENTS_EXCHANGE, EVENTS_QUEUE, canary_key, worker_queue
from schemas.worker import Capacity
from tests.integration.transport.road import SOON_S
from tests.support import agents
from tests.support.farm import Farm, running
from tests.support.services import management_of, name_of
from tests.support.wire import WireWorker
from worker_agent.config import load
from worker_agent.shipping import RETRY_S

pytestmark = [pytest.mark.faults, pytest.mark.extensive]

#: Lets a queue of the virtual host hold so many messages, or any number.
Policy = Callable[[str, int | None], Awaitable[None]]


@pytest.fixture
async def policy(rabbitmq: Services, amqp_url: str) -> AsyncIterator[Policy]:
    """At most so many messages in a queue; those that come then are refused."""
    place = rabbitmq.management_url or os.environ["FARMHAND_TEST_MANAGEMENT_URL"]
    async with management_of(place) as management:

        async def put(queue: str, most: int | None) -> None:
            path = f"/policies/{quote(name_of(amqp_url), safe='')}/full"
            if most is None:
                (await management.delete(path)).raise_for_status()
                return
            definition = {"max-length": most, "overflow": "reject-publish"}
            pattern = f"^{queue.replace('.', '[.]')}$"
            body = {"pattern": pattern, "definition": definition, "apply-to": "queues"}
            (await management.put(path, json=body)).raise_for_status()

        yield put


async def fill(amqp_url: str, exchange: str, key: str, body: bytes) -> None:
    """Publish *body* until the broker refuses it."""
    async with asyncio.timeout(SOON_S), await aio_pika.connect(amqp_url) as connection:
        while True:
            channel = await connection.channel()
            place = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
            message = aio_pika.Message(body, content_type="application/json", user_id=connection.url.user)
            try:
                await place.publish(message, key)
            except DeliveryError:
                return


#: Goes on until the file is there.
CODE = "import os, sys, time\nwhile not os.path.exists(sys.argv[1]): time.sleep(0.05)"


async def test_reports_that_a_full_queue_refuses_are_sent_again_until_it_takes_them(
    database_url: str, amqp_url: str, policy: Policy, tmp_path: Path
) -> None:
    places = {name: tmp_path / name for name in ("data_dir", "output_root", "publish_root")}
    settings = load(None, {"worker": "node-1", "amqp_url": amqp_url, "slots": 4} | places)
    async with agents.running(settings):
        async with running(database_url, amqp_url) as farm:
            await farm.until("SELECT count(*) = 1 FROM workers WHERE connection = 'online'")
            argv = [sys.executable, "-I", "-S", "-c", CODE, str(tmp_path / "enough")]
            task = {"kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": argv}}]}
            await farm.submit(task | {"array": {"count": 4}})
            await farm.until("SELECT count(*) = 4 FROM tasks WHERE state = 'running'")
        # Nobody consumes now, and there is no room: only messages that everybody ignores.
        await policy(EVENTS_QUEUE, 3)
        await fill(amqp_url, EVENTS_EXCHANGE, canary_key("ev", "nobody"), b"{}")
        began_s = time.monotonic()
        with structlog.testing.capture_logs() as said:
            (tmp_path / "enough").touch()
            async with asyncio.timeout(SOON_S):
                while len(refused := [line for line in said if line.get("problem") == "refused by the broker"]) < 3:
                    await farm.rows("SELECT pg_sleep(0.1)")
        assert {line["event"] for line in refused} == {"events wait"}
        assert len(refused) <= 1 + (time.monotonic() - began_s) / RETRY_S, "not in a hot loop"

        async with running(database_url, amqp_url) as farm:
            await farm.until("SELECT bool_and(state = 'completed') FROM jobs")
            done = await farm.rows("SELECT count(*) FROM history WHERE event = 'task.completed'")
            assert done[0][0] == 4
            assert (await farm.rows("SELECT max(attempt) FROM attempts"))[0][0] == 1


async def test_commands_that_a_full_queue_refuses_are_sent_again_until_it_takes_them(
    database_url: str, amqp_url: str, policy: Policy
) -> None:
    async with running(database_url, amqp_url, heartbeat_s=60.0) as farm:
        full = WireWorker(amqp_url, "node-1", capacity=Capacity(slots=4))
        async with full:
            await full.online()
        # It is thought to be there for a while, and nobody takes what is in its queue.
        queue = worker_queue("node-1").name
        await policy(queue, 3)
        await fill(amqp_url, "", queue, ToWorker(worker="node-1", epoch=1, commands=[]).model_dump_json().encode())
        await farm.submit({"array": {"count": 4}})
        await farm.until("SELECT count(*) = 4 AND min(sends) >= 3 FROM attempts WHERE state = 'assigned'")
        sends = (await farm.rows("SELECT sum(sends) FROM attempts"))[0][0]
        assert 1 < await nacked(farm) <= sends, "each of them is sent when its time has come, and not in a hot loop"

        # The others' commands are not held up by that.
        async with WireWorker(amqp_url, "node-2", queues=["other"]) as other:
            await other.online()
            await farm.submit({"queue": "other"})
            (verdict,) = await finish(other, 1)
            assert verdict is Verdict.ACCEPTED

        async with full:  # which makes room
            assert set(await finish(full, 4)) == {Verdict.ACCEPTED}
        await farm.until("SELECT bool_and(state = 'completed') FROM jobs")
        assert (await farm.rows("SELECT max(attempt) FROM attempts"))[0][0] == 1


async def finish(worker: WireWorker, count: int) -> list[Verdict]:
    """Run *count* attempts and report them, as agents do: until there is an answer."""
    attempts = [await worker.assigned() for _ in range(count)]
    return [await answer(worker, attempt) for attempt in attempts]


async def answer(worker: WireWorker, attempt: AssignedAttempt) -> Verdict:
    async with asyncio.timeout(SOON_S):
        while True:
            await worker.finish(attempt)
            try:
                async with asyncio.timeout(3):
                    return await worker.verdict(attempt)
            except TimeoutError:
                continue


async def nacked(farm: Farm) -> int:
    """How many messages the broker refused, by the coordinator's own count."""
    url = f"http://127.0.0.1:{farm.coordinator.settings.http_port}"
    async with httpx.AsyncClient(base_url=url, timeout=60) as http:
        metrics = (await http.get("/metrics")).text
    lines = [line for line in metrics.splitlines() if "nacked" in line and not line.startswith("#")]
    return round(sum(float(line.rpartition(" ")[2]) for line in lines))
