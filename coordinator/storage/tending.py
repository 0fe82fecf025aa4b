"""Loads the workers about which something is due by time."""

import asyncpg

from coordinator.domain.idle import IdleAction, IdlePolicy, IdleRow
from coordinator.operations.ledger import Ledger
from coordinator.operations.wanted import Wanted
from coordinator.storage.queries import load

WORKERS = load("workers")


async def find(connection: asyncpg.Connection, ledger: Ledger, wanted: Wanted) -> None:
    """Who is due, idle or gone; they are wanted with all that they hold."""
    if wanted.tending:
        ledger.tended.due = [row["id"] for row in await connection.fetch(WORKERS["due"], ledger.now)]
        wanted.holders.update(ledger.tended.due)
    if wanted.idle:
        for row in await connection.fetch(WORKERS["idle"], ledger.now):
            policy = IdlePolicy(IdleAction(row["action"]), row["after_s"])
            ledger.tended.idle[row["id"]] = IdleRow(row["open_sessions"], row["last_activity_at"], policy)
        wanted.holders.update(ledger.tended.idle)
    if wanted.gone_for is not None:
        found = await connection.fetch(WORKERS["gone"], ledger.now, wanted.gone_for)
        ledger.tended.gone = [row["id"] for row in found]
        wanted.holders.update(ledger.tended.gone)


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Remove who is to be removed, and set the farm's policy."""
    if ledger.tended.removed:
        await connection.execute(WORKERS["remove"], sorted(ledger.tended.removed))
        ledger.tended.removed.clear()
    if ledger.tended.idle_default is not None:
        await connection.execute(
            WORKERS["set_idle_default"], ledger.tended.idle_default.action.value, ledger.tended.idle_default.after_s
        )
        ledger.tended.idle_default = None
