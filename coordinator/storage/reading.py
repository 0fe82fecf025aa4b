"""How rows are read to be shown: with a time limit, over a pool that is given; trouble is an `UnavailableError`."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import ClassVar, Final, TypeAlias

import asyncpg

from coordinator.operations.requests import UnavailableError
from coordinator.storage.pool import TROUBLE, Connection, lent, transaction

#: Longer than `statement_timeout`: a server that is there answers sooner, if only that it took too long.
_ANSWER_S: Final = 12.0

Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"


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
        with _explained():
            async with transaction(self._pool, isolation="repeatable_read", readonly=True) as connection:
                yield connection

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with _explained():
            async with lent(self._pool) as connection:
                yield connection


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (asyncpg.QueryCanceledError, TimeoutError):
        raise UnavailableError("the database did not answer in time: try again") from None
    except TROUBLE:
        raise UnavailableError("the database cannot be reached: try again") from None
