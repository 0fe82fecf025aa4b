"""The store: transactions under the farm's lock."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, cast

import asyncpg

from coordinator.operations.ledger import Ledger
from coordinator.storage.orders import Caches
from coordinator.storage.pool import transaction, translate
from coordinator.storage.transaction import LOAD, PostgresTransaction

#: The farm's advisory lock.
LOCK: Final = 0x6661726D


class PostgresStore:
    """Implements `operations.store.Store` on a pool."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._caches = Caches()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[PostgresTransaction]:
        """A transaction under the farm's lock, committed at the end of the block."""
        try:
            async with transaction(self._pool) as connection:
                now = await connection.fetchval(LOAD["begin"], LOCK)
                yield PostgresTransaction(cast("asyncpg.Connection", connection), Ledger(now), self._caches)
        except Exception as error:
            raise translate(error) from error
