"""Loads and saves the workers that call through gateways: most say no more than that they live.

Of those as little is read and written as that takes, for there may be thousands of such calls a second. Whatever
changes more of a worker has its whole row loaded.
"""

import asyncpg

from coordinator.domain.attempt import LIVE, AttemptState
from coordinator.domain.task import TaskState
from coordinator.domain.worker import Connection, Duty
from coordinator.operations.foreign import begins_a_life, changes_nothing
from coordinator.operations.ledger import Ledger
from coordinator.operations.signs import Caller, Glimpse, Signs
from coordinator.operations.wanted import Wanted
from coordinator.storage import rows
from coordinator.storage.queries import load

SQL = load("calling")
_CONNECTIONS = {one.value: one for one in Connection}
_DUTIES = {one.value: one for one in Duty}
_STATES = {one.value: one for one in TaskState}
_LIVE = frozenset(state.value for state in AttemptState if state in LIVE)


async def find(connection: asyncpg.Connection, ledger: Ledger, wanted: Wanted) -> None:
    """Who calls, with his signs of life; what he says changes more than these is wanted in full."""
    foreign = ledger.foreign
    in_full = wanted.workers | wanted.holders
    for row in await connection.fetch(SQL["callers"], list(wanted.callers)):
        name, protocol, foreign_id, state, duty, *rest = row
        caller = Caller(name, protocol, foreign_id, _CONNECTIONS[state], _DUTIES[duty], *rest[:6])
        foreign.signs[name] = Signs(*rest[6:])
        calls = wanted.callers[name]
        if any(begins_a_life(caller, call) for call in calls):
            wanted.holders.add(name)
        elif name in in_full or not all(changes_nothing(caller, call) for call in calls):
            wanted.workers.add(name)
        else:
            foreign.callers[name] = caller
    if wanted.glances:
        tasks, numbers = zip(*wanted.glances, strict=True)
        for task, number, worker_id, state, of_task in await connection.fetch(SQL["glances"], tasks, numbers):
            foreign.glimpses[task, number] = Glimpse(worker_id, state in _LIVE, _STATES[of_task])


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write the signs of life."""
    foreign = ledger.foreign
    if not foreign.heard:
        return
    lives = sorted(foreign.heard - foreign.telling)
    if lives:
        await connection.execute(SQL["lives"], ledger.now, lives)
    if len(lives) < len(foreign.heard):
        records = [
            (name, one.seq, one.told_at, one.told_active_at, one.active_at, one.open_sessions,
             rows.as_json(one.stats), one.kept)
            for name, one in ((name, foreign.signs[name]) for name in sorted(foreign.heard & foreign.telling))
        ]  # fmt: skip
        await connection.execute(SQL["heard"], ledger.now, *map(list, zip(*records, strict=True)))
    foreign.heard.clear()
    foreign.telling.clear()
