"""The invariant checker: the same code for the tests, for simulations, for the doctor and for whoever proves a farm.

Each invariant is a statement that finds what breaks it, and all look at one snapshot; a finding names rows. On a large
farm a statement may take too long: that is said, and the others go on.
"""

from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from coordinator.domain.job import state_of
from coordinator.storage import rows
from coordinator.storage.pool import prepare
from coordinator.storage.queries import load

_STATEMENTS: Final = load("invariants")
_DERIVED: Final = "a_jobs_state_is_derived"
#: All that is checked.
NAMES: Final = (*_STATEMENTS, _DERIVED)
MOST_SHOWN: Final = 20
#: Seconds that one invariant may take: on a live database, and for tests and proofs, which can wait on a busy machine.
PATIENCE_S: Final = 20.0
LONG_PATIENCE_S: Final = 100.0


@dataclass(frozen=True)
class Violation:
    """An invariant that does not hold, and a row that shows it."""

    invariant: str
    row: dict[str, Any]


async def violations(database_url: str) -> list[Violation]:
    """What breaks an invariant in the farm at *database_url* now; at most `MOST_SHOWN` rows of each."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        found, unknown = await broken(connection, LONG_PATIENCE_S)
    finally:
        await connection.close()
    return found + [Violation(name, {"not checked": "the database took too long"}) for name in unknown]


async def broken(connection: asyncpg.Connection, patience_s: float = PATIENCE_S) -> tuple[list[Violation], list[str]]:
    """What breaks an invariant, seen on *connection*; and the invariants that could not be checked in time."""
    await prepare(connection)
    found: list[Violation] = []
    unknown: list[str] = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for name in NAMES:
            try:
                async with connection.transaction():
                    found += await _look(connection, name, patience_s)
            except (TimeoutError, asyncpg.QueryCanceledError):
                unknown.append(name)
    return found, unknown


async def _look(connection: asyncpg.Connection, name: str, patience_s: float) -> list[Violation]:
    if name == _DERIVED:
        return await _underived(connection, patience_s)
    broken = await connection.fetch(_STATEMENTS[name], timeout=patience_s)
    return [Violation(name, dict(row)) for row in broken[:MOST_SHOWN]]


async def _underived(connection: asyncpg.Connection, patience_s: float) -> list[Violation]:
    found = []
    for row in await connection.fetch("SELECT * FROM jobs", timeout=patience_s):
        job = rows.job(row)
        derived = state_of(
            job.counts,
            expanded=job.expanded,
            total=job.total,
            cancel_requested=job.cancel_requested_at is not None,
        )
        if derived is not job.state:
            found.append(Violation(_DERIVED, {"job": job.id, "is": job.state, "should": derived}))
    return found[:MOST_SHOWN]
