"""The hop that can be hurt, on real sockets: what each fault is for the two sides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import asyncpg
import pytest

from coordinator.proof.proxy import Proxy, Way

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]
SOON_S = 60


class Echo:
    """A server that says everything back, and keeps what it heard of each connection."""

    def __init__(self) -> None:
        self.heard: list[bytearray] = []
        self.ends: asyncio.Queue[str] = asyncio.Queue()
        self.url = ""
        self.more = asyncio.Semaphore(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self.heard.append(heard)
        try:
            while data := await reader.read(1000):
                heard += data
                if len(heard) > len(b"hello"):
                    self.more.release()
                writer.write(data)
            self.ends.put_nowait("closed")
        except ConnectionResetError:
            self.ends.put_nowait("reset")
        finally:
            writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    made = Echo()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield made
    server.close()


@pytest.fixture
async def hop(echo: Echo) -> AsyncIterator[Proxy]:
    async with Proxy(echo.url) as hop:
        yield hop


@asynccontextmanager
async def connected(hop: Proxy) -> AsyncIterator[Stream]:
    """A client through *hop*, after its first word has come back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hop.port)
    writer.write(b"hello")
    async with asyncio.timeout(SOON_S):
        assert await reader.readexactly(5) == b"hello"
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def nothing(read: Callable[[], Awaitable[bytes]]) -> None:
    """Nothing comes while another connection's words go there and back a hundred times."""
    waiting = asyncio.ensure_future(read())
    for _ in range(100):
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])


async def test_a_hop_that_is_well_passes_everything_and_the_end(hop: Proxy, echo: Echo) -> None:
    async with connected(hop) as (reader, writer):
        body = bytes(range(256)) * 4000
        writer.write(body)
        writer.write_eof()
        async with asyncio.timeout(SOON_S):
            assert await reader.read(-1) == body
            assert await echo.ends.get() == "closed"
    assert hop.accepted == 1
    assert bytes(echo.heard[0]) == b"hello" + body


async def test_a_reset_is_seen_by_both_sides_and_new_connections_are_made(hop: Proxy, echo: Echo) -> None:
    async with connected(hop) as (reader, _):
        hop.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        assert await echo.ends.get() == "reset"
    async with connected(hop):
        assert hop.accepted == 2


async def test_a_black_hole_swallows_nothing_and_passes_it_on_when_it_ends(hop: Proxy, echo: Echo) -> None:
    async with connected(hop) as (reader, writer):
        hop.hold()
        writer.write(b"lost?")
        late = asyncio.create_task(asyncio.open_connection("127.0.0.1", hop.port))
        late_reader, late_writer = await late
        late_writer.write(b"me too")
        await nothing(lambda: reader.readexactly(5))
        assert bytes(echo.heard[0]) == b"hello"
        hop.flow()
        async with asyncio.timeout(SOON_S):
            assert await reader.readexactly(5) == b"lost?"
            assert await late_reader.readexactly(6) == b"me too"
        late_writer.close()


@pytest.mark.parametrize(("way", "heard"), [(Way.UP, b"hello"), (Way.DOWN, b"helloone")])
async def test_one_direction_can_be_held(hop: Proxy, echo: Echo, way: Way, heard: bytes) -> None:
    async with connected(hop) as (reader, writer):
        hop.hold(way)
        writer.write(b"one")
        async with connected_elsewhere(echo):
            await nothing(lambda: reader.readexactly(3))
        if way is Way.DOWN:
            async with asyncio.timeout(SOON_S):
                await echo.more.acquire()
        assert bytes(echo.heard[0]) == heard
        hop.flow()
        assert await reader.readexactly(3) == b"one"


@asynccontextmanager
async def connected_elsewhere(echo: Echo) -> AsyncIterator[None]:
    """Through another hop all is well meanwhile."""
    async with Proxy(echo.url) as other, connected(other):
        yield


async def test_half_open_ends_one_side_and_the_other_talks_to_nobody(hop: Proxy, echo: Echo) -> None:
    async with connected(hop) as (reader, writer):
        hop.half_open(Way.UP)
        assert await echo.ends.get() == "reset"
        writer.write(b"are you there?")
        await writer.drain()
        await nothing(lambda: reader.read(1))
        async with connected(hop):
            assert bytes(echo.heard[0]) == b"hello"


async def test_it_is_cut_after_exactly_so_many_bytes(hop: Proxy, echo: Echo) -> None:
    async with connected(hop) as (reader, writer):
        hop.cut_after(7)
        writer.write(b"0123456789")
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        await echo.ends.get()
        assert bytes(echo.heard[0]) == b"hello0123456"
        assert hop.cuts == 1


async def test_a_dribble_and_a_delay_change_nothing_of_what_arrives(hop: Proxy) -> None:
    async with connected(hop) as (reader, writer):
        hop.piece, hop.latency_s = 1, 0.01
        writer.write(b"0123456789" * 20)
        async with asyncio.timeout(SOON_S):
            assert await reader.readexactly(200) == b"0123456789" * 20


@pytest.mark.parametrize("delivered", [True, False])
async def test_cut_during_commit_leaves_the_client_without_the_outcome(database_url: str, delivered: bool) -> None:  # noqa: FBT001
    async with Proxy() as hop:
        connection = await asyncpg.connect(hop.through(database_url))
        await connection.execute("CREATE TABLE marks (number integer)")
        hop.cut_at(b"COMMIT", delivered=delivered)
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            async with connection.transaction():
                await connection.execute("INSERT INTO marks VALUES (1)")
        connection.terminate()
        assert hop.cuts == 1
        other = await asyncpg.connect(hop.through(database_url))
        # The lock says that the transaction is over, one way or the other.
        await other.execute("BEGIN; LOCK TABLE marks; COMMIT")
        assert await other.fetchval("SELECT count(*) FROM marks") == int(delivered)
        await other.close()


async def test_it_says_when_a_client_has_said_something(hop: Proxy) -> None:
    async with connected(hop) as (reader, writer):
        waiting = asyncio.create_task(hop.said(b"COMMIT"))
        await nothing(lambda: reader.read(1))
        assert not waiting.done()
        writer.write(b"please COMMIT now")
        async with asyncio.timeout(SOON_S):
            await waiting
            assert await reader.readexactly(17) == b"please COMMIT now"


async def test_where_nobody_listens_it_ends_the_connection() -> None:
    async with Proxy("http://127.0.0.1:1") as hop:
        reader, writer = await asyncio.open_connection("127.0.0.1", hop.port)
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        writer.close()
