"""`make bench`, second part: what it costs to claim 20 tasks while very many wait behind a job that is at its limit.

The same claim is made with 1,000 and with 1,000,000 tasks waiting behind the limit, in turns, and rolled back each
time. The cost is CPU of this process (the coordinator's part) and of its Postgres backend together, by the operating
system's accounts; the figure is the ratio of the two medians.
"""

import argparse
import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Final, cast

import asyncpg

from coordinator.local.services import Services, Wanted
from coordinator.operations.assignment import assign
from coordinator.operations.ledger import Ledger
from coordinator.operations.store import Transaction
from coordinator.storage.migrate import migrate
from coordinator.storage.orders import Caches
from coordinator.storage.pool import prepare
from coordinator.storage.transaction import LOAD, PostgresTransaction

CLAIMED: Final = 20
WARM_UP: Final = 10
SIZES: Final = (1_000, 1_000_000)
#: The ratio that may not be exceeded.
ALLOWED: Final = 1.5

_FARM: Final = """
INSERT INTO workers (id, connection, duty, epoch, instance, kinds, queues, slots)
VALUES ('node-1', 'online', 'awake', 1, gen_random_uuid(), '{echo}', '{default}', 21);
INSERT INTO worker_liveness (worker_id, epoch, last_seen_at) VALUES ('node-1', 1, farm_now());
INSERT INTO classes (fingerprint, queue, kind, tags, labels, slots, cpus, memory_mb, gpus)
VALUES ('echo', 'default', 'echo', '{}', '{}', 1, 0, 0, 0);
"""
#: A job of $1 tasks of which $2 may be held at once; its first task is held when it has such a limit.
_JOB: Final = """
WITH numbers AS (SELECT setval('task_ids', nextval('task_ids') + $1::bigint) - $1::bigint AS first),
job AS (
    INSERT INTO jobs (name, queue, priority, state, total, first_task, expanded, n_ready, n_running, task_limit,
                      limit_set_at)
    SELECT 'job', 'default', $3, 'active', $1, first, $1, $1 - coalesce($2, 0), coalesce($2, 0), $2,
           CASE WHEN $2::integer IS NOT NULL THEN farm_now() END
      FROM numbers RETURNING id, first_task),
grouped AS (
    INSERT INTO groups (job_id, class_id, ready, held)
    SELECT job.id, classes.id, $1 - coalesce($2, 0), coalesce($2, 0) FROM job, classes RETURNING id, job_id),
made AS (
    INSERT INTO tasks (id, job_id, group_id, spec_id, state, priority, attempt)
    SELECT job.first_task + n, job.id, grouped.id, 0,
           CASE WHEN n < coalesce($2, 0) THEN 'running' ELSE 'ready' END, 50, (n < coalesce($2, 0))::integer
      FROM job, grouped, generate_series(0, $1::bigint - 1) AS n)
INSERT INTO attempts (task_id, attempt, run, class_id, worker_id, epoch, state, assigned_at, sent_at, started_at)
SELECT job.first_task + n, 1, 1, classes.id, 'node-1', 1, 'running', farm_now(), farm_now(), farm_now()
  FROM job, classes, generate_series(0, coalesce($2, 0)::bigint - 1) AS n
"""


async def a_farm(url: str, waiting: int) -> asyncpg.Connection:
    """A database of its own with *waiting* tasks behind a job at its limit, and another job that is free to run."""
    name = f"limited_{waiting}"
    admin = await asyncpg.connect(url)
    await admin.execute(f"CREATE DATABASE {name}")
    await admin.close()
    own = url.rpartition("/")[0] + f"/{name}"
    await migrate(own)
    connection = await asyncpg.connect(own)
    await prepare(connection)
    await connection.execute(_FARM)
    await connection.execute(_JOB, waiting, 1, 90, timeout=600)
    await connection.execute(_JOB, 10_000, None, 50, timeout=600)
    await connection.execute("VACUUM ANALYZE", timeout=600)
    return connection


async def claim(connection: asyncpg.Connection, caches: Caches) -> float:
    """Seconds of CPU that one claim takes, here and in Postgres. Raises when it does not claim what it should."""
    backend = connection.get_server_pid()
    began = time.process_time() + _seconds(backend)
    transaction = connection.transaction()
    await transaction.start()
    try:
        ledger = Ledger(await connection.fetchval(LOAD["begin"], 1))
        ledger.work_appeared = True
        tx = PostgresTransaction(connection, ledger, caches)
        await assign(cast("Transaction", tx), ledger)
        await tx.save(ledger)
        await tx.finish(ledger)
        spent = time.process_time() + _seconds(backend) - began
    finally:
        await transaction.rollback()
    if len(ledger.attempts) != CLAIMED:
        raise SystemExit(f"{len(ledger.attempts)} tasks were claimed, not {CLAIMED}")
    return spent


def _seconds(pid: int) -> float:
    """Seconds of CPU of a process, to the nanosecond."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9


async def main(url: str, rounds: int) -> None:
    """Measure in turns and print."""
    farms = {size: await a_farm(url, size) for size in SIZES}
    caches = {size: Caches() for size in SIZES}
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    for number in range(rounds + WARM_UP):
        for size in SIZES:
            seconds = await claim(farms[size], caches[size])
            if number >= WARM_UP:
                spent[size].append(seconds)
    for farm in farms.values():
        await farm.close()
    medians = {size: statistics.median(values) for size, values in spent.items()}
    for size, median in medians.items():
        print(f"{size:9,} tasks behind the limit: {median * 1e3:6.2f} ms of CPU to claim {CLAIMED}")
    ratio = medians[SIZES[1]] / medians[SIZES[0]]
    print(f"ratio {ratio:.2f} (at most {ALLOWED} is allowed), {rounds} rounds, {os.cpu_count()} cores")
    if ratio > ALLOWED:
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--database-url", help="a Postgres on this machine; else a private one is started")
    options = parser.parse_args()
    with Services(Wanted(rabbitmq=False, database_url=options.database_url)) as services:
        asyncio.run(main(services.database_url, options.rounds))
