"""`make bench`: tasks a second, end to end, beside pgqueuer's in the same run on the same Postgres.

Farmhand: one job of N echo tasks through a coordinator and five agents of 200 slots, with history, journal, logs and
verdicts on; from before the submission to the job's end in the database. pgqueuer: N no-op jobs, enqueued 500 at a
time, two consumer processes with batches of 100; from before the first enqueue to an empty queue. Both keep their state
in one private Postgres with fsync on. Rounds alternate; the figure is the median of the rounds' ratios.
"""

import argparse
import asyncio
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import asyncpg
from pgqueuer.queries import Queries

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations
from coordinator.storage.tally import tally
from schemas.job import JobSpec

AGENTS: Final = 5
SLOTS: Final = 200
PEER_PROCESSES: Final = 2
PEER_BATCH: Final = 100
ENQUEUE: Final = 500


async def farmhand_round(farm: LocalFarm, tasks: int) -> float:
    """Seconds for a job of so many echo tasks. Raises when one of them is not accepted exactly once."""
    echo = {"name": "echo", "parameters": {"message": "hello"}}
    task = {"name": "echo", "kind": "echo", "commands": [echo], "array": {"count": tasks}}
    spec = JobSpec.model_validate({"name": "bench", "tasks": [task]})
    connection = await asyncpg.connect(farm.services.database_url)
    try:
        async with farm.client() as client:
            began = time.perf_counter()
            job = (await client.submit(spec)).job
            while not await connection.fetchval("SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1", job):
                await asyncio.sleep(0.02)
            seconds = time.perf_counter() - began
    finally:
        await connection.close()
    done = await tally(farm.services.database_url, job)
    if done.completed != tasks or done.not_exactly_once:
        raise SystemExit(f"not every task was accepted exactly once: {done}")
    return seconds


async def peer_round(database_url: str, tasks: int) -> float:
    """Seconds for so many no-op jobs of pgqueuer."""
    connection = await asyncpg.connect(database_url)
    consumer = Path(__file__).with_name("pgqueuer_consumer.py")
    processes = [
        subprocess.Popen([sys.executable, "-P", str(consumer), database_url, str(PEER_BATCH)])  # noqa: ASYNC220
        for _ in range(PEER_PROCESSES)
    ]
    try:
        queries = Queries.from_asyncpg_connection(connection)
        await queries.enqueue("echo", None)
        while await connection.fetchval("SELECT count(*) FROM pgqueuer"):
            await asyncio.sleep(0.05)  # both have started when the first job is gone
        await asyncio.sleep(1)
        began = time.perf_counter()
        for first in range(0, tasks, ENQUEUE):
            some = min(ENQUEUE, tasks - first)
            await queries.enqueue(["echo"] * some, [None] * some, [0] * some)
        while await connection.fetchval("SELECT EXISTS (SELECT FROM pgqueuer)"):
            await asyncio.sleep(0.02)
        return time.perf_counter() - began
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            await asyncio.to_thread(process.wait)
        await connection.close()


async def _peer_database(farm: LocalFarm) -> str:
    admin = await asyncpg.connect(farm.services.database_url)
    await admin.execute("CREATE DATABASE peer")
    await admin.close()
    url = farm.services.database_url.rpartition("/")[0] + "/peer"
    connection = await asyncpg.connect(url)
    await Queries.from_asyncpg_connection(connection).install()
    await connection.close()
    return url


def cpu_seconds(pids: dict[str, list[int]]) -> dict[str, float]:
    """User and system seconds of processes, by part."""
    tick = os.sysconf("SC_CLK_TCK")
    return {part: sum(_ticks(pid) for pid in some) / tick for part, some in pids.items()}


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


async def main(tasks: int, rounds: int) -> None:
    """Measure and print."""
    async with LocalFarm(Plan(agents=AGENTS, slots=SLOTS), say=lambda line: print(line, file=sys.stderr)) as farm:
        peer = await _peer_database(farm)
        pids = {
            "coordinator": [part.pid for part in farm.coordinators.values() if part.pid],
            "agents": [part.pid for part in farm.agents.values() if part.pid],
        }
        await farmhand_round(farm, tasks // 10)  # warm-up
        ours, theirs = [], []
        before = cpu_seconds(pids)
        for number in range(rounds):
            ours.append(tasks / await farmhand_round(farm, tasks))
            theirs.append(tasks / await peer_round(peer, tasks))
            print(
                f"round {number + 1}: farmhand {ours[-1]:,.0f} tasks/s, pgqueuer {theirs[-1]:,.0f} tasks/s", flush=True
            )
        after = cpu_seconds(pids)
        broken = await violations(farm.services.database_url)
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    print(f"\n{tasks:,} tasks, {rounds} rounds, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, values in (("farmhand", ours), ("pgqueuer", theirs)):
        print(f"{name:10} {statistics.median(values):8,.0f} tasks/s  ({min(values):,.0f} to {max(values):,.0f})")
    print(f"ratio      {statistics.median(ratios):8.2f}          ({min(ratios):.2f} to {max(ratios):.2f})")
    for part in pids:
        print(f"{part:12} {(after[part] - before[part]) / (tasks * rounds) * 1e6:6.0f} us of CPU a task")
    print("every task accepted exactly once; " + ("no invariant broken" if not broken else f"BROKEN: {broken}"))
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    asyncio.run(main(options.tasks, options.rounds))
