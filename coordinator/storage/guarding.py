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
    since = []
    for row in await connection.fetch(GUARDS["guards"], WINDOW):
        name, counts = row["name"], (row["workers"], row["suspects"])
        match row["kind"]:
            case "coordinator":
                guarding.coordinators.append((name, row["at"]))
                since.append(row["since"])
            case "freeze":
                guarding.freezes[name] = Freeze(
                    name, Guard(row["guard"]), row["since"], *counts, counted_at=row["at"], lost=row["count"]
                )
            case "zone":
                guarding.zones[name] = Zone(*counts, turned=row["count"])
    guarding.listening_since = max(since, default=ledger.now)


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
