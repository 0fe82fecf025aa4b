"""An agent to talk to: in this process (fast), or as a process of its own (to be killed)."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.agent.peer import Peer
from worker_agent.agent import Agent
from worker_agent.config import Settings, load
from worker_agent.journal import Journal

NAME = "node-1"


class AgentProcess:
    """`farmhand-agent` as a process."""

    def __init__(self, argv: list[str], log: Path) -> None:
        self.log = log
        with log.open("ab") as file:
            self._popen = subprocess.Popen(
                [sys.executable, "-m", "worker_agent.cli", *argv], stdout=file, stderr=file, env=bare_environment()
            )
        self.pid = self._popen.pid

    def signal(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    async def wait(self, within_s: float = 20.0) -> int:
        return await asyncio.to_thread(self._popen.wait, within_s)

    async def kill(self) -> None:
        self._popen.kill()
        await asyncio.to_thread(self._popen.wait)

    def said(self) -> str:
        return self.log.read_text()


def bare_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FARMHAND_")}


StartProcess = Callable[..., AgentProcess]
StartAgent = Callable[..., Awaitable[Agent]]


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
            return await stack.enter_async_context(running(settings(**more)))

        yield start


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Agent]:
    agent = Agent(settings, Journal(settings.data))
    life = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        agent.abort(0)
        await life


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
async def peer(amqp_url: str) -> AsyncIterator[Peer]:
    """A coordinator that welcomes and accepts."""
    async with Peer(amqp_url, NAME) as peer:
        yield peer
