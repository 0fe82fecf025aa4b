"""Blocklists as rows: what stands against a worker in a job, and how many are blocked there."""

from collections.abc import Collection

import asyncpg

from coordinator.domain.blocklist import Mark
from coordinator.operations.ledger import Ledger
from coordinator.storage.queries import load

SQL = load("blocklist")


async def load_marks(connection: asyncpg.Connection, ledger: Ledger, jobs: Collection[int]) -> None:
    """The marks of *jobs*; those that the ledger has already stay as they are."""
    for row in await connection.fetch(SQL["marks"], list(jobs)):
        mark = Mark(*row)
        ledger.marks.setdefault(mark.key, mark)


async def save_marks(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write the dirty marks, and each job's count of blocked workers."""
    if not ledger.dirty_marks:
        return
    marks = [ledger.marks[key] for key in sorted(ledger.dirty_marks)]
    await connection.execute(
        SQL["save_marks"],
        [mark.job_id for mark in marks],
        [mark.kind for mark in marks],
        [mark.worker_id for mark in marks],
        [mark.failures for mark in marks],
        [mark.failed_at or ledger.now for mark in marks],
        [mark.blocked_at for mark in marks],
    )
    await connection.execute(SQL["count_blocked"], sorted({mark.job_id for mark in marks}))
    ledger.dirty_marks.clear()


async def blocked_of_groups(connection: asyncpg.Connection, groups: Collection[int]) -> dict[int, frozenset[str]]:
    """Who is blocked for the tasks of each of *groups*."""
    found = await connection.fetch(SQL["blocked_of_groups"], list(groups))
    return {row["group_id"]: frozenset(row["workers"]) for row in found}
