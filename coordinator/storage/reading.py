"""How rows are read to be shown: with a time limit, over a pool that is given; trouble is an `UnavailableError`."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import ClassVar, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from coordinator.operations.requests import UnavailableError
from coordinator.storage.pool import TROUBLE

_ACQUIRE_S: Final = 5.0
_ANSWER_S: Final = 10.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


class Reader:
    """Asks the statements of one noun."""

    _SQL: ClassVar[Mapping[str, str]]

    def __init__(self, pool: Pool) -> None:
        """Read through *pool*, which belongs to the caller."""
        self._pool = pool

    async def _fetch(self, name: str, *arguments: object) -> list[asyncpg.Record]:
        return await self._fetch_sql(self._SQL[name], *arguments)

    async def _fetch_sql(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        async with self._connection() as connection:
            return await connection.fetch(sql, *arguments, timeout=_ANSWER_S)

    async def _fetchrow(self, name: str, *arguments: object) -> asyncpg.Record | None:
        async with self._connection() as connection:
            return await connection.fetchrow(self._SQL[name], *arguments, timeout=_ANSWER_S)

    @asynccontextmanager
    async def _snapshot(self) -> AsyncIterator[Connection]:
        async with self._connection() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire(timeout=_ACQUIRE_S) as connection:
                yield connection
        except (asyncpg.QueryCanceledError, TimeoutError):
            raise UnavailableError("the database did not answer in time: try again") from None
        except TROUBLE:
            raise UnavailableError("the database cannot be reached: try again") from None
