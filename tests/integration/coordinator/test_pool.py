"""The pool when its server falls silent: one connection finds out, the others are not tried one after the other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import asyncpg
import pytest

from coordinator.operations.requests import UnavailableError
from coordinator.operations.store import StoreUnavailableError
from coordinator.proof.proxy import Proxy, Way
from coordinator.storage import ear
from coordinator.storage.pool import TROUBLE, lent, open_pool, transaction
from coordinator.storage.store import PostgresStore
from coordinator.storage.views import Views

CONNECTIONS = 5
ANSWER_S = 2.0


@pytest.fixture
async def hop() -> AsyncIterator[Proxy]:
    async with Proxy() as hop:
        yield hop


@pytest.fixture
async def pool(hop: Proxy, database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool whose connections have all been used."""
    pool = await open_pool(hop.through(database_url), most=CONNECTIONS, command_timeout_s=ANSWER_S)
    used = [await pool.acquire() for _ in range(CONNECTIONS)]
    for connection in used:
        await pool.release(connection)
    assert hop.connections == CONNECTIONS
    yield pool
    pool.terminate()


async def test_after_one_silent_connection_the_next_one_is_new(hop: Proxy, pool: asyncpg.Pool) -> None:
    hop.half_open(Way.UP)
    with pytest.raises(TimeoutError):
        async with lent(pool) as connection:
            await connection.fetchval("SELECT 1")
    async with lent(pool) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_after_one_silent_transaction_the_next_one_is_new(hop: Proxy, pool: asyncpg.Pool) -> None:
    store = PostgresStore(pool)
    async with store.transaction():
        pass
    hop.half_open(Way.UP)
    with pytest.raises(StoreUnavailableError):
        async with store.transaction():
            pass
    async with store.transaction():
        pass


async def test_a_connection_whose_transaction_did_not_end_is_not_lent_again(
    pool: asyncpg.Pool, caplog: pytest.LogCaptureFixture
) -> None:
    async with lent(pool) as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.execute("BEGIN")
    borrowed = [await pool.acquire() for _ in range(CONNECTIONS)]
    assert pid not in [await one.fetchval("SELECT pg_backend_pid()") for one in borrowed]
    assert "active transaction" not in caplog.text


async def test_what_people_read_comes_back_too(hop: Proxy, pool: asyncpg.Pool) -> None:
    views = Views(pool)
    hop.half_open(Way.UP)
    refused = 0
    while True:
        try:
            await views.numbers()
            break
        except UnavailableError:
            refused += 1
    assert refused == 1


async def test_a_transaction_is_committed_or_rolled_back_whole(pool: asyncpg.Pool) -> None:
    async with transaction(pool) as connection:
        await connection.execute("INSERT INTO duties (name) VALUES ('a')")
    with contextlib.suppress(ZeroDivisionError):
        async with transaction(pool) as connection:
            await connection.execute("INSERT INTO duties (name) VALUES ('b')")
            raise ZeroDivisionError
    async with lent(pool) as connection:
        assert [row["name"] for row in await connection.fetch("SELECT name FROM duties")] == ["a"]


async def test_the_server_looks_whether_its_clients_are_still_there(pool: asyncpg.Pool) -> None:
    async with lent(pool) as connection:
        seconds = [int(await connection.fetchval(f"SHOW tcp_keepalives_{name}")) for name in ("idle", "interval")]
        count = int(await connection.fetchval("SHOW tcp_keepalives_count"))
    assert seconds[0] + seconds[1] * count <= 60


async def test_a_database_that_is_slow_and_answers_keeps_its_connections(hop: Proxy, pool: asyncpg.Pool) -> None:
    async with lent(pool) as connection:
        await connection.execute("SET statement_timeout = 50")
        with pytest.raises(asyncpg.QueryCanceledError):
            await connection.fetchval("SELECT pg_sleep(10)")
    async with lent(pool) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert hop.accepted == CONNECTIONS


async def test_a_session_whose_client_was_stopped_in_the_middle_of_a_statement_is_ended(
    hop: Proxy, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ear, "STUCK_S", 0.5)
    healthy, stuck = await open_pool(database_url), await open_pool(hop.through(database_url))
    try:
        async with lent(healthy) as waits, lent(healthy) as other, lent(stuck) as holder:
            # Transactions that are idle, or at work, are let alone.
            await other.execute("BEGIN; CREATE TEMPORARY TABLE mine ()")
            await holder.execute("BEGIN; LOCK TABLE tasks")
            hop.hold(Way.DOWN)
            asked = asyncio.create_task(holder.fetchval("SELECT $1::integer", 7))
            while not (ended := await ear.PostgresEar(healthy).end_stuck()):
                await waits.fetchval("SELECT pg_sleep(0.1)")
            assert len(ended) == 1
            await waits.execute("BEGIN; LOCK TABLE tasks; ROLLBACK")
            assert await other.fetchval("SELECT count(*) FROM mine") == 0
            await other.execute("ROLLBACK")
            hop.flow()
            with pytest.raises(TROUBLE):
                await asked
    finally:
        healthy.terminate()
        stuck.terminate()
