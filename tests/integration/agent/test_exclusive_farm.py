"""Exclusive tasks on a whole farm: whatever dies, no two runs of a task overlap, by what the runs themselves wrote."""

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.agent import clocks
from tests.integration.agent.conftest import AgentProcess
from tests.support import ticks
from tests.support.farm import Farm, running
from tests.support.processes import wait_gone

RUNS = "SELECT worker_id FROM attempts WHERE attempt = 1 AND done = 1"
RUNS_AGAIN = "SELECT worker_id FROM attempts WHERE attempt > 1 AND done = 1"


class Book:
    """What the runs of the task write."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "book"
        self.enough = directory / "enough"

    async def submit(self, farm: Farm) -> None:
        argv = ticks.argv("run", self.path, self.enough)
        await farm.submit(
            {"kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": argv}}], "exclusive": True}
        )

    async def finish(self, farm: Farm, runs: int) -> None:
        """Let it end: it has run so often, never twice at a time."""
        self.enough.touch()
        await farm.until("SELECT state = 'completed' FROM tasks")
        assert len(ticks.runs(self.path)) == runs
        assert ticks.overlaps(self.path) == []


@pytest.fixture
def book(tmp_path: Path) -> Book:
    return Book(tmp_path)


@pytest.fixture
async def start(amqp_url: str, tmp_path: Path) -> AsyncIterator[Callable[..., AgentProcess]]:
    """Starts an agent of its own name; killed with the test."""
    started: list[AgentProcess] = []

    def one(name: str, *how: Any) -> AgentProcess:
        home = tmp_path / name
        argv = [
            "--worker",
            name,
            "--amqp-url",
            amqp_url,
            "--data-dir",
            str(home),
            "--output-root",
            str(tmp_path / "out"),
        ]
        started.append(AgentProcess(argv, tmp_path / f"{name}.log", *how))
        return started[-1]

    yield one
    for process in started:
        await process.kill()


@asynccontextmanager
async def at_work(
    database_url: str, amqp_url: str, start: Callable[[str], AgentProcess], book: Book, *, hurried: bool = True
) -> AsyncIterator[tuple[Farm, AgentProcess]]:
    """A farm of two agents, one of which runs the exclusive task."""
    async with running(database_url, amqp_url, hurried=hurried) as farm:
        agents = {name: start(name) for name in ("node-1", "node-2")}
        await farm.until("SELECT count(*) = 2 FROM workers WHERE connection = 'online'")
        await book.submit(farm)
        holder = await farm.until(RUNS)
        yield farm, agents[holder]


async def test_a_stopped_agents_task_runs_elsewhere_only_when_it_has_ended(
    database_url: str, amqp_url: str, start: Callable[[str], AgentProcess], book: Book
) -> None:
    async with at_work(database_url, amqp_url, start, book) as (farm, holder):
        holder.signal(signal.SIGSTOP)
        await farm.until(RUNS_AGAIN)
        holder.signal(signal.SIGCONT)
        await book.finish(farm, 2)


@pytest.mark.extensive
async def test_a_killed_agents_task_runs_elsewhere_only_when_it_has_ended(
    database_url: str, amqp_url: str, start: Callable[[str], AgentProcess], book: Book
) -> None:
    async with at_work(database_url, amqp_url, start, book) as (farm, holder):
        await holder.kill()
        await farm.until(RUNS_AGAIN)
        await book.finish(farm, 2)


@pytest.mark.extensive
async def test_a_task_that_is_stopped_together_with_its_agent_never_goes_on(
    database_url: str, amqp_url: str, start: Callable[[str], AgentProcess], book: Book
) -> None:
    async with at_work(database_url, amqp_url, start, book) as (farm, holder):
        holder.signal(signal.SIGSTOP)
        (run,) = ticks.runs(book.path)
        psutil.Process(int(run.split()[1])).suspend()
        await farm.until(RUNS_AGAIN)
        holder.signal(signal.SIGCONT)
        await book.finish(farm, 2)


@pytest.mark.extensive
async def test_a_coordinator_that_is_gone_for_less_than_a_lease_interrupts_nothing(
    database_url: str, amqp_url: str, start: Callable[[str], AgentProcess], book: Book
) -> None:
    # However slowly the next one starts.
    async with at_work(database_url, amqp_url, start, book, hurried=False):
        pass
    async with running(database_url, amqp_url) as farm:
        before = (await farm.rows("SELECT until FROM leases"))[0][0]
        await farm.until("SELECT until > $1 FROM leases", before)
        await book.finish(farm, 1)


@pytest.mark.extensive
async def test_a_coordinator_that_is_gone_for_longer_costs_a_run_and_no_overlap(
    database_url: str, amqp_url: str, start: Callable[[str], AgentProcess], book: Book
) -> None:
    async with at_work(database_url, amqp_url, start, book):
        (run,) = ticks.runs(book.path)
    wait_gone([psutil.Process(int(run.split()[1]))])
    async with running(database_url, amqp_url, hurried=True) as farm:
        await farm.until(RUNS_AGAIN)
        await book.finish(farm, 2)


#: When things were, as the farm tells it: all of them while the test ran.
TIMES = """
SELECT min(at) >= $1::timestamptz AND max(at) <= farm_now()
  FROM (SELECT at FROM history UNION ALL SELECT started_at FROM attempts UNION ALL SELECT ended_at FROM attempts
        UNION ALL SELECT last_seen_at FROM worker_liveness UNION ALL SELECT last_activity_at FROM worker_liveness) AS x
"""
HOUR_S = 3600.0


@pytest.mark.extensive
@pytest.mark.timeout(240)
async def test_clocks_that_are_an_hour_off_and_jump_make_no_difference(
    database_url: str, amqp_url: str, start: Callable[..., AgentProcess], book: Book, tmp_path: Path
) -> None:
    off, hours = tmp_path / "clocks-are-off", {"node-1": HOUR_S, "node-2": -HOUR_S}
    off.touch()

    def wrong(name: str) -> AgentProcess:
        return start(name, clocks.agent, hours[name], str(off))

    async with at_work(database_url, amqp_url, wrong, book, hurried=False) as (farm, holder):
        began = (await farm.rows("SELECT min(at) FROM history"))[0][0]
        # Whenever the clocks jump, its lease is renewed as before, and it goes on.
        for jump in (off.unlink, off.touch):
            await renewed(farm)
            jump()
            await renewed(farm)
        assert len(ticks.runs(book.path)) == 1
        assert await farm.rows("SELECT FROM workers WHERE connection <> 'online'") == []
        # It ends with its lease, and not before the other may run it.
        holder.signal(signal.SIGSTOP)
        await farm.until(RUNS_AGAIN, within_s=150)
        holder.signal(signal.SIGCONT)
        await book.finish(farm, 2)
        assert await farm.until("SELECT count(*) = 1 FROM attempts WHERE accepted")
        assert await farm.until(TIMES, began)


async def renewed(farm: Farm) -> None:
    """Wait until the lease has been renewed."""
    before = (await farm.rows("SELECT until FROM leases"))[0][0]
    await farm.until("SELECT until > $1 FROM leases", before)
