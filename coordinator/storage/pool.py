"""Connections to Postgres, and what its complaints mean.

A stopped coordinator must neither hold the farm's lock nor commit late: hence the session's time-outs. They do not
reach one that was stopped between the preparation of a statement and its execution; the others end its session
(`STUCK_S`).
"""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from coordinator.operations.store import BadBatchError, StoreUnavailableError

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"

#: Milliseconds; keepalives in seconds.
SESSION: Final = {
    "idle_in_transaction_session_timeout": "5000",
    "statement_timeout": "10000",
    # A machine that has vanished says no goodbye: without these its connections would stay for hours.
    "tcp_keepalives_idle": "30",
    "tcp_keepalives_interval": "10",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "farmhand",
    "jit": "off",
}
#: Who has said nothing for so long in the middle of a statement has been stopped: `statement_timeout` is over.
STUCK_S: Final = 11.0
ACQUIRE_TIMEOUT_S: Final = 5.0
COMMAND_TIMEOUT_S: Final = 15.0

#: The database's own trouble; the same batch can be tried again.
TROUBLE: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.OperatorInterventionError,  # shutdown, crash, cannot connect now, query canceled
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.PostgresSystemError,
    OSError,
    TimeoutError,
)


def translate(error: Exception) -> Exception:
    """Asyncpg's complaint in our words: trouble that passes, or a batch that cannot be stored."""
    if isinstance(error, asyncpg.PostgresError) and not isinstance(error, TROUBLE):
        return BadBatchError(f"{str(error).splitlines()[0]} ({error.sqlstate})")
    if isinstance(error, TROUBLE):
        return StoreUnavailableError(f"{type(error).__name__}: {error}".rstrip(": "))
    if isinstance(error, (asyncpg.DataError, UnicodeError)):
        return BadBatchError(str(error))
    return error


async def open_pool(database_url: str, *, most: int = 10, command_timeout_s: float = COMMAND_TIMEOUT_S) -> asyncpg.Pool:
    """A pool of at most *most* connections; raises `StoreUnavailableError` when the first cannot be had."""
    # It tells each failed try with a traceback; whoever uses the pool says once, in a line, that the database is away.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_is_news)
    try:
        return await asyncpg.create_pool(
            database_url,
            min_size=1,
            max_size=most,
            init=prepare,
            reset=_leave_as_it_is,
            command_timeout=command_timeout_s,
            timeout=ACQUIRE_TIMEOUT_S,
            server_settings=SESSION,
            max_inactive_connection_lifetime=60,
        )
    except Exception as error:
        raise translate(error) from error


def _is_news(record: logging.LogRecord) -> bool:
    """Not: a future inside of asyncpg, of a call that was cancelled before its connection broke."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, TROUBLE) and record.getMessage().startswith("Future exception was never retrieved"))


async def _leave_as_it_is(_: asyncpg.Connection) -> None:
    """Nothing that we do outlives its transaction: no settings, listeners, session locks or cursors. So a connection
    goes back as it is, without the round trip after each commit that asking for a clean one takes."""


@asynccontextmanager
async def lent(pool: asyncpg.Pool, *, timeout_s: float = ACQUIRE_TIMEOUT_S) -> AsyncIterator[Connection]:
    """A connection of *pool*. One on which nothing comes back takes all others with it.

    A server that is there gives up a statement before we do (`statement_timeout`). Whoever stays silent for longer
    is cut off, without a word, and so are most likely the other connections: to try them one by one would take minutes.
    """
    async with pool.acquire(timeout=timeout_s) as connection:
        silent = False
        try:
            yield connection
        except TimeoutError:
            silent = True
            raise
        finally:
            # At once, where nothing would be answered, or where the end of a transaction did not come through.
            with suppress(asyncpg.InterfaceError):  # the server has ended it, and so the pool has it back
                if silent or connection.is_in_transaction():
                    connection.terminate()
            if silent:
                await pool.expire_connections()


@asynccontextmanager
async def transaction(pool: asyncpg.Pool, **kind: Any) -> AsyncIterator[Connection]:
    """A transaction on a connection of *pool* (`lent`), committed at the end of the block."""
    async with lent(pool) as connection:
        begun = connection.transaction(**kind)
        await begun.start()
        try:
            yield connection
        except TimeoutError:
            raise  # there is nobody to roll it back
        except BaseException:
            await begun.rollback()
            raise
        await begun.commit()


async def prepare(connection: asyncpg.Connection) -> None:
    """Speak of jsonb as Python values."""
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=_to_jsonb, decoder=_from_jsonb, format="binary"
    )


def _to_jsonb(value: Any) -> bytes:
    return b"\x01" + json.dumps(value, separators=(",", ":")).encode()


def _from_jsonb(value: bytes) -> Any:
    return json.loads(value[1:])
