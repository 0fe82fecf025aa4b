"""Whoever calls a gateway is killed in the middle of it, as a process by SIGKILL: no task is lost, and no word."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx

from coordinator.gateways.openwork.routes import fresh_typeid
from coordinator.gateways.openwork.translate import name_of as openwork_name
from coordinator.gateways.stencila.translate import name_of as hub_name
from tests.gateways.conftest import Gates
from tests.gateways.flamenco_v3.client import Worker
from tests.support.farm import running


class Sender:
    """A process of `senders`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def says(self) -> str:
        """Its next line."""
        assert self._process.stdout is not None
        line = (await self._process.stdout.readline()).decode().strip()
        assert line, f"it ended with {await self._process.wait()}"
        return line

    async def kill(self) -> list[str]:
        """End it as a power cut does; what it had said by then."""
        self._process.kill()
        assert self._process.stdout is not None
        rest = (await self._process.stdout.read()).decode()
        await self._process.wait()
        return rest.splitlines() if rest.endswith("\n") else rest.splitlines()[:-1]


@asynccontextmanager
async def sending(*what: str) -> AsyncIterator[Sender]:
    """A sender, until it is killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.gateways.senders", *what, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield Sender(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def registered(gates: Gates, name: str) -> tuple[str, str, str]:
    """A Flamenco 3 worker's name and credentials, which outlive its process."""
    async with httpx.AsyncClient(base_url=gates.url, timeout=60) as http:
        worker = Worker(http, name)
        assert (await worker.register()).status_code == 200
        return name, worker.uuid, worker.secret


async def test_no_task_of_a_killed_flamenco_worker_is_lost(database_url: str, amqp_url: str) -> None:
    async with running(database_url, amqp_url, gateways="all", flamenco_v1_poll_s=1.0) as farm:
        gates = Gates(farm)
        one, other = await registered(gates, "render-1"), await registered(gates, "render-2")
        program: dict[str, Any] = {"kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": ["true"]}}]}
        frame: dict[str, Any] = {"kind": "misc", "commands": [{"name": "echo"}]}
        async with (
            sending("flamenco_v3", gates.url, *one, "") as polling,
            sending("flamenco_v1", gates.url, "old-1", "") as pushed,
        ):
            await farm.until("SELECT true FROM workers WHERE protocol = 'flamenco_v1'")
            await farm.submit(
                {"name": "program", **program}, *({"name": f"frame {number}", **frame} for number in range(3))
            )
            await polling.says()
            await pushed.says()
            await polling.kill()
            await pushed.kill()
        async with (
            sending("flamenco_v3", gates.url, *other, "works") as second,
            sending("flamenco_v1", gates.url, "old-2", "works") as elsewhere,
        ):
            await second.says()
            await elsewhere.says()
            # Its next process has the same credentials; what the former held is lost, and runs again, somewhere.
            async with sending("flamenco_v3", gates.url, *one, "works"):
                await farm.until("SELECT count(*) = 4 FROM tasks WHERE state = 'completed'")
        rows = await farm.rows("SELECT ending, count(*)::integer FROM attempts GROUP BY ending ORDER BY ending")
        endings = {row["ending"]: row["count"] for row in rows}
        assert endings.pop("completed") == 4
        # The poller's attempt was lost; the pushed one's was handed back, or lost, by when it was noticed.
        assert sum(endings.values()) >= 2
        assert endings.keys() <= {"lost", "interrupted"}
        assert await farm.until("SELECT count(*) = 4 FROM attempts WHERE accepted")


async def test_no_word_of_a_killed_sender_is_lost(gates: Gates) -> None:
    typeid = fresh_typeid()
    openwork = (await gates.credential("openwork", typeid))["token"]
    overseer = (await gates.credential("stencila", "overseer"))["token"]
    senders = {
        openwork_name(typeid): ("openwork", gates.url, openwork, typeid),
        hub_name("celery@a"): ("stencila", gates.url, overseer),
    }
    for name, what in senders.items():
        newest, lives = datetime.min.replace(tzinfo=UTC), set()
        for _ in range(2):
            async with sending(*what) as sender:
                said = [await sender.says() for _ in range(10)] + await sender.kill()
            answered = datetime.fromisoformat(said[-1])
            row = await gates.worker(name)
            # Of what was not answered either has come, or nothing: both are right.
            told = row["told_at"]
            assert isinstance(told, datetime)
            assert newest < answered <= told, said
            lives.add((row["connection"], row["epoch"]))
            newest = told
        assert len(lives) == 1, "the next process goes on where it was"
