"""The database is there and takes nothing: a full disk, read-only, a lock held, connections killed again and again.

Messages wait, each delivered once; whoever asks hears of it; afterwards everything is applied, once.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

import asyncpg
import pytest

from coordinator.handlers.routes import Receiver
from coordinator.operations.ports import Delivery
from coordinator.operations.requests import UnavailableError
from coordinator.storage.migrate import migrate
from schemas.task import Verdict
from schemas.worker import Capacity
from tests.support import services, small_disk
from tests.support.farm import Farm, running
from tests.support.wire import WireWorker

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

TASKS = 30
DISK_BYTES = 48 * 2**20
Trouble: TypeAlias = Callable[[str], AbstractAsyncContextManager[None]]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """A Postgres of our own, part of whose data lies on a small disk."""
    with small_disk.postgres(DISK_BYTES) as (url, disk):

        async def place() -> None:
            async with connected(url) as connection:
                await connection.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")

        asyncio.run(place())
        yield url


@pytest.fixture
async def small_database_url(server: str) -> AsyncIterator[str]:
    """A migrated database on the small disk."""
    url = await services.create_database(server)
    try:
        async with connected(server) as connection:
            await connection.execute(f"ALTER DATABASE {services.name_of(url)} SET TABLESPACE small")
        await migrate(url)
        yield url
    finally:
        await services.drop_database(server, url)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(url, server_settings={"default_transaction_read_only": "off"})
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def full_disk(url: str) -> AsyncIterator[None]:
    """Not a page is left."""
    async with connected(url) as connection:
        # What failed leaves dead rows, which would be cleared away.
        await connection.execute("CREATE TABLE ballast (stuff text) WITH (autovacuum_enabled = off)")
        await connection.execute("ALTER TABLE ballast ALTER stuff SET STORAGE PLAIN")
        rows = 4096
        while rows:
            try:
                await connection.execute(
                    f"INSERT INTO ballast SELECT repeat('x', 7000) FROM generate_series(1, {rows})"
                )
            except asyncpg.DiskFullError:
                rows //= 2
        try:
            yield
        finally:
            await connection.execute("DROP TABLE ballast")


@asynccontextmanager
async def read_only(url: str) -> AsyncIterator[None]:
    """No transaction may write."""
    async with connected(url) as connection:
        await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        await connection.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.execute("SELECT pg_reload_conf()")


@asynccontextmanager
async def locked(url: str) -> AsyncIterator[None]:
    """Somebody locks the tasks, for at least thirty seconds."""
    async with connected(url) as connection, connection.transaction():
        await connection.execute("LOCK TABLE tasks, attempts IN ACCESS EXCLUSIVE MODE")
        yield
        await connection.execute("SELECT pg_sleep_until(now() + interval '30 s')")


@asynccontextmanager
async def killed_again_and_again(url: str) -> AsyncIterator[None]:
    """Whatever connection the coordinator makes is killed within a moment."""
    ours = "datname = current_database() AND application_name = 'farmhand'"

    async def kill() -> None:
        async with connected(url) as connection:
            while True:
                await connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}")
                await connection.execute("SELECT pg_sleep(0.001)")

    killing = asyncio.create_task(kill())
    try:
        yield
    finally:
        killing.cancel()
        await asyncio.wait([killing])


@pytest.fixture
def deliveries(monkeypatch: pytest.MonkeyPatch) -> Counter[str | None]:
    """How often each message of the events queue was delivered: counted on the way in."""
    counted: Counter[str | None] = Counter()
    receive = Receiver.receive

    def count(self: Receiver, some: Sequence[Delivery]) -> None:
        counted.update(one.message_id for one in some)
        receive(self, some)

    monkeypatch.setattr(Receiver, "receive", count)
    return counted


async def work_through(trouble: Trouble, url: str, farm: Farm, worker: WireWorker) -> None:
    """Reports come in during the *trouble*, and somebody submits."""
    await worker.online()
    await farm.submit({"array": {"count": TASKS}})
    attempts = [await worker.assigned() for _ in range(TASKS)]
    for attempt in attempts:
        await worker.start(attempt)
    await farm.until("SELECT count(*) = $1 FROM tasks WHERE state = 'running'", TASKS)
    async with trouble(url):
        for attempt in attempts:
            await worker.finish(attempt)
        with pytest.raises(UnavailableError, match="database is not available"):
            await farm.submit({"array": {"count": 3000}}, name="much")
    assert {await worker.verdict(attempt) for attempt in attempts} == {Verdict.ACCEPTED}
    await farm.until("SELECT bool_and(state = 'completed') FROM jobs WHERE name <> 'much'")
    assert (await farm.rows("SELECT count(*) FROM history WHERE event = 'task.completed'"))[0][0] == TASKS
    # It can be asked for again.
    await farm.submit({"queue": "later"}, name="much")


@pytest.mark.extensive
@pytest.mark.parametrize(
    "trouble", [full_disk, read_only, locked, killed_again_and_again], ids=["disk", "read-only", "lock", "killed"]
)
async def test_what_the_database_does_not_take_waits_delivered_once_and_is_applied_once(
    trouble: Trouble, small_database_url: str, amqp_url: str, deliveries: Counter[str | None]
) -> None:
    async with (
        running(small_database_url, amqp_url) as farm,
        WireWorker(amqp_url, "node-1", capacity=Capacity(slots=TASKS)) as worker,
    ):
        await work_through(trouble, small_database_url, farm, worker)

    assert len(deliveries) > 2 * TASKS
    assert set(deliveries.values()) == {1}, "nothing goes back to the broker, to be delivered again"
    async with connected(small_database_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM parked") == 0
