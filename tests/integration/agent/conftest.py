"""An agent to talk to: in this process (fast), or as a process of its own (to be killed)."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent import launch
from tests.integration.agent.peer import Peer
from tests.support import agents
from worker_agent.agent import Agent
from worker_agent.config import Settings, load

NAME = "node-1"


class AgentProcess:
    """`farmhand-agent` as a process of its own."""

    def __init__(self, argv: list[str], log: Path, target: Callable[..., None] = launch.agent, *more: object) -> None:
        """*target* gets *argv*, the log's name, and *more*."""
        self.log = log
        log.touch()
        self._process = launch.CONTEXT.Process(target=target, args=(argv, str(log), *more))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def wait(self, within_s: float = 60.0) -> int | None:
        """Its exit code; None when it has not ended in time."""
        await asyncio.to_thread(self._process.join, within_s)
        return self._process.exitcode

    async def kill(self) -> None:
        self._process.kill()
        await self.wait()

    def said(self) -> str:
        return self.log.read_text()


StartProcess = Callable[..., AgentProcess]
StartAgent = Callable[..., Awaitable[Agent]]
Said = Callable[[AgentProcess, str], Awaitable[None]]


@pytest.fixture
def settings(amqp_url: str, tmp_path: Path) -> Callable[..., Settings]:
    """Settings of an agent on the test's broker and directory."""

    def make(**more: Any) -> Settings:
        fields = {
            "worker": NAME,
            "amqp_url": amqp_url,
            "data_dir": tmp_path / "data",
            "output_root": tmp_path / "outputs",
            "publish_root": tmp_path / "published",
            "slots": 4,
        }
        return load(None, fields | more)

    return make


@pytest.fixture
async def start_agent(settings: Callable[..., Settings]) -> AsyncIterator[StartAgent]:
    """Starts an agent in this process; it is ended with the test."""
    async with AsyncExitStack() as stack:

        async def start(**more: Any) -> Agent:
            return await stack.enter_async_context(agents.running(settings(**more)))

        yield start


@pytest.fixture
async def start_process(amqp_url: str, tmp_path: Path) -> AsyncIterator[StartProcess]:
    """Starts `farmhand-agent`; killed with the test."""
    started: list[AgentProcess] = []

    def start(*options: str, url: str = amqp_url) -> AgentProcess:
        argv = [
            *("--worker", NAME),
            *("--amqp-url", url),
            *("--data-dir", str(tmp_path / "data")),
            *("--output-root", str(tmp_path / "outputs")),
            *("--publish-root", str(tmp_path / "published")),
            *("--slots", "4"),
            *options,
        ]
        process = AgentProcess(argv, tmp_path / f"agent-{len(started)}.log")
        started.append(process)
        return process

    yield start
    for process in started:
        await process.kill()


@pytest.fixture
def said() -> Said:
    """Waits until an agent's own log holds some words: the log is followed, not looked at now and then."""

    async def wait(agent: AgentProcess, words: str, within_s: float = 60.0) -> None:
        tail = await asyncio.create_subprocess_exec(
            "tail", "-n", "+1", "-f", str(agent.log), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            assert tail.stdout is not None
            async with asyncio.timeout(within_s):
                async for line in tail.stdout:
                    if words in line.decode():
                        return
        finally:
            tail.kill()
            await tail.wait()

    return wait


@pytest.fixture
async def peer(amqp_url: str) -> AsyncIterator[Peer]:
    """A coordinator that welcomes and accepts."""
    async with Peer(amqp_url, NAME) as peer:
        yield peer
