"""The invariant checker: the same code for the tests, for simulations and for a live database.

Each invariant is a statement that finds what breaks it, and all look at one snapshot; a finding names rows.
"""

from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from coordinator.domain.job import state_of
from coordinator.storage import rows
from coordinator.storage.pool import prepare
from coordinator.storage.queries import load

_STATEMENTS: Final = load("invariants")
MOST_SHOWN: Final = 20


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, and a row that shows it."""

    invariant: str
    row: dict[str, Any]


async def violations(database_url: str) -> list[Violation]:
    """What breaks an invariant in the farm at *database_url* now; at most `MOST_SHOWN` rows of each."""
    connection = await asyncpg.connect(database_url, timeout=10)
    found = []
    try:
        await prepare(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            for name, statement in _STATEMENTS.items():
                broken = await connection.fetch(statement)
                found += [Violation(name, dict(row)) for row in broken[:MOST_SHOWN]]
            for row in await connection.fetch("SELECT * FROM jobs"):
                job = rows.job(row)
                derived = state_of(
                    job.counts,
                    expanded=job.expanded,
                    total=job.total,
                    cancel_requested=job.cancel_requested_at is not None,
                )
                if derived is not job.state:
                    found.append(
                        Violation("a_jobs_state_is_derived", {"job": job.id, "is": job.state, "should": derived})
                    )
    finally:
        await connection.close()
    return found
