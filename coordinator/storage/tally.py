"""What became of a job, counted in the database itself: the check behind "every task accepted exactly once"."""

from dataclasses import dataclass
from typing import Final

import asyncpg

from coordinator.storage.queries import load

_SQL: Final = load("tally")


@dataclass(frozen=True, slots=True)
class Tally:
    """Numbers of one job, of the current run of each task.

    `not_exactly_once` are tasks without, or with more than, one accepted attempt.
    """

    tasks: int
    completed: int
    attempts: int
    accepted: int
    lost: int
    not_exactly_once: int


async def tally(database_url: str, job: int) -> Tally:
    """Count *job* in the database at *database_url*."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        rows = await connection.fetch(_SQL["of_job"], job)
    finally:
        await connection.close()
    return Tally(**dict(rows[0]))
