"""Tokens made where no coordinator runs yet: by `farmhand migrate` and `farmhand up`, who have the database itself.

The same operations make them as make all others, in the same kind of transaction.
"""

import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from coordinator.domain.access import digest_of
from coordinator.operations import access
from coordinator.operations.access import CreateToken, Minted, RevokeToken
from coordinator.operations.ledger import Ledger
from coordinator.operations.wanted import Wanted
from coordinator.storage.pool import open_pool
from coordinator.storage.store import PostgresStore
from coordinator.storage.tokens import SQL
from schemas.roles import Role

_NAMES: Final = ["admin", *(f"admin-{number}" for number in range(2, 100))]


async def first_admin(database_url: str, actor: str) -> tuple[str, str] | None:
    """The name and the token of a new admin, when no admin's token can be used."""
    async with _ledger(database_url, *_NAMES) as (ledger, admins):
        if admins:
            return None
        name = next(name for name in _NAMES if name not in ledger.tokens)
        return name, _create(ledger, name, Role.ADMIN, actor)


async def keep(database_url: str, name: str, role: Role, given: str | None, actor: str) -> str:
    """*given*, if it is the token *name* and can be used; else a new one, instead of any of that name."""
    async with _ledger(database_url, name) as (ledger, _):
        kept = ledger.tokens.get(name)
        if kept is not None:
            sound = kept.role is role and (kept.expires_at is None or kept.expires_at > ledger.now)
            if given and sound and hmac.compare_digest(kept.digest, digest_of(given)):
                return given
            access.revoke(ledger, RevokeToken(name, actor))
        return _create(ledger, name, role, actor)


def _create(ledger: Ledger, name: str, role: Role, actor: str) -> str:
    made = Minted.fresh()
    access.create(ledger, CreateToken(name, role, made.prefix, made.digest, None, actor))
    return made.token


@asynccontextmanager
async def _ledger(database_url: str, *names: str) -> AsyncIterator[tuple[Ledger, int]]:
    """A ledger with the tokens of these names, and how many admins' tokens can be used; committed at the end."""
    pool = await open_pool(database_url, most=2)
    try:
        async with PostgresStore(pool).transaction() as tx:
            ledger = await tx.load(Wanted(tokens=set(names)))
            yield ledger, await pool.fetchval(SQL["admins"])
            await tx.finish(ledger)
    finally:
        await pool.close()
