"""API tokens as rows: read for the bearer of a call, written by the writer."""

from collections.abc import Collection
from datetime import datetime
from typing import Final

import asyncpg

from coordinator.domain.access import Token
from coordinator.operations.ledger import Ledger
from coordinator.storage.queries import load
from coordinator.storage.reading import Reader
from schemas.roles import Role
from schemas.views import TokenView

SQL: Final = load("access")


async def live(connection: asyncpg.Connection, names: Collection[str]) -> dict[str, Token]:
    """Those of *names* that are not revoked."""
    return {row["name"]: token(row) for row in await connection.fetch(SQL["live"], list(names))}


def token(row: asyncpg.Record) -> Token:
    """A row of access_tokens."""
    return Token(
        row["name"],
        Role(row["role"]),
        row["prefix"],
        row["digest"],
        row["expires_at"],
        row["revoked_at"],
        row["gateway"],
        row["subject"],
    )


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write what was revoked and what is new, in this order: a name may pass from one to the other."""
    if ledger.revoked_tokens:
        await connection.execute(
            SQL["revoke"], ledger.now, list(ledger.revoked_tokens), list(ledger.revoked_tokens.values())
        )
    if ledger.new_tokens:
        rows = [
            (
                new.token.name,
                new.token.role.value,
                new.token.prefix,
                new.token.digest,
                new.created_by,
                new.token.expires_at,
                new.revoked_by,
                new.token.gateway,
                new.token.subject,
            )
            for new in ledger.new_tokens.values()
        ]
        await connection.execute(SQL["add"], ledger.now, *map(list, zip(*rows, strict=True)))


class Tokens(Reader):
    """What the door asks."""

    _SQL = SQL

    async def find(self, prefix: str) -> tuple[Token | None, datetime]:
        """The token of this prefix, and the time."""
        (row,) = await self._fetch("find", prefix)
        return (None if row["name"] is None else token(row)), row["now"]

    async def any(self) -> bool:
        """Whether a token was ever made."""
        (row,) = await self._fetch("any")
        return bool(row[0])

    async def tokens(self, *, revoked: bool = False) -> list[TokenView]:
        """All tokens, by name."""
        return [TokenView(**row) for row in await self._fetch("list", revoked)]
