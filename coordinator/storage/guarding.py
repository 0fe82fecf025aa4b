"""Loads and saves the guards before a loss: coordinators, zones, freezes."""

import asyncpg

from coordinator.domain.guards import WINDOW, Freeze, Guard, Zone
from coordinator.operations.ledger import Ledger
from coordinator.operations.wanted import Wanted
from coordinator.storage.queries import load

GUARDS = load("guards")


async def find(connection: asyncpg.Connection, ledger: Ledger, wanted: Wanted) -> None:
    """What the guards look at; and the workers that we have not heard, wanted with all that they hold."""
    if wanted.silent_s is not None:
        ledger.silent = [row["id"] for row in await connection.fetch(GUARDS["silent_workers"], wanted.silent_s)]
        wanted.holders.update(ledger.silent)
    if not wanted.guards:
        return
    guarding = ledger.guarding
    coordinators = await connection.fetch(GUARDS["coordinators"])
    guarding.coordinators = [(row["id"], row["consumed_at"]) for row in coordinators]
    guarding.listening_since = max((row["listening_since"] for row in coordinators), default=ledger.now)
    for row in await connection.fetch(GUARDS["freezes"]):
        guarding.freezes[row["zone"]] = Freeze(**{**row, "guard": Guard(row["guard"])})
    if wanted.holders or guarding.freezes:
        for row in await connection.fetch(GUARDS["zones"], WINDOW):
            guarding.zones[row["zone"]] = Zone(row["workers"], row["suspects"], row["turned"])


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write the freezes that changed; forget the coordinators that are gone."""
    guarding = ledger.guarding
    calm = [zone for zone in guarding.dirty if zone not in guarding.freezes]
    if calm:
        await connection.execute(GUARDS["calm"], calm)
    for zone in sorted(guarding.dirty.difference(calm)):
        one = guarding.freezes[zone]
        await connection.execute(
            GUARDS["freeze"], zone, one.guard.value, one.since, one.workers, one.suspects, one.counted_at, one.lost
        )
    guarding.dirty.clear()
    if guarding.closed:
        await connection.execute(GUARDS["coordinators_closed"], sorted(guarding.closed))
        guarding.closed.clear()
