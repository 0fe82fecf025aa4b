"""A pool of connections for as long as a test needs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from coordinator.storage.pool import open_pool


@asynccontextmanager
async def pooled(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """The coordinator's kind of pool."""
    pool = await open_pool(database_url, most=2)
    try:
        yield pool
    finally:
        await pool.close()
