"""A TCP hop that can be hurt: black hole, half open, reset, latency, dribble, cut after so many bytes or at given ones.

Each program of a farm that is tried takes its ways to broker and database through hops of its own, so that one hop can
fail and the others go on. A hop has its port from the start; where it leads can be said later.

Promises: bytes are passed in order, none twice; what is held is passed when the hop flows again, as after a network's
black hole; a reset is a real one (RST); loopback only.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterator
from enum import Enum
from typing import Final, Self
from urllib.parse import urlsplit, urlunsplit

_CHUNK: Final = 65536
_LOOPBACK: Final = "127.0.0.1"
_PORTS: Final = {"amqp": 5672, "postgresql": 5432, "http": 80}
#: Linger on, for no time: closing sends RST.
_RESET: Final = struct.pack("ii", 1, 0)


class Way(Enum):
    """A direction: up to the server, down to the client."""

    UP = "up"
    DOWN = "down"


class _Pair:
    """One connection through the hop: the client's side and the server's."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.sides = {Way.DOWN: client, Way.UP: server}
        self.passed = dict.fromkeys(Way, 0)
        self.forsaken = False

    def reset(self, *ways: Way) -> None:
        for way in ways or tuple(Way):
            _abort(self.sides[way])


class Proxy:
    """One hop: `async with Proxy(url) as hop:` clients connect to `hop.through(url)`."""

    def __init__(self, url: str | None = None) -> None:
        """A hop to the server of *url*, or to nowhere until `through` has named one."""
        self._socket = socket.create_server((_LOOPBACK, 0))
        self.port: Final[int] = self._socket.getsockname()[1]
        self._target: tuple[str, int] | None = None
        self._server: asyncio.Server | None = None
        self._pairs: set[_Pair] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = {way: asyncio.Event() for way in Way}
        self._cut_after: tuple[Way, int] | None = None
        self._cut_at: tuple[bytes, bool] | None = None
        self._watched: tuple[bytes, asyncio.Event, Way | None] | None = None
        #: What `through` has answered last.
        self.url = ""
        self.latency_s = 0.0
        self.piece: int | None = None
        self.accepted = 0
        self.cuts = 0
        self.flow()
        if url is not None:
            self.through(url)

    def through(self, url: str) -> str:
        """*url* by way of this hop, which leads to its server from now on."""
        parts = urlsplit(url)
        self._target = (parts.hostname or _LOOPBACK, parts.port or _PORTS[parts.scheme])
        login, at, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{login}{at}{_LOOPBACK}:{self.port}"))
        return self.url

    @property
    def connections(self) -> int:
        """How many connections go through it now."""
        return len(self._pairs)

    async def __aenter__(self) -> Self:
        """Take connections."""
        await self.plug()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all of them."""
        self.unplug()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- what can be done to it ----------------------------------------------------------------------------

    def hold(self, *ways: Way) -> None:
        """Pass nothing on (that way, or both: a black hole); what comes waits, and new connections get no answer."""
        for way in ways or tuple(Way):
            self._flowing[way].clear()

    def flow(self) -> None:
        """Be well: pass on what waited, with no delay, and cut nothing more."""
        self.latency_s, self.piece, self._cut_after, self._cut_at = 0.0, None, None, None
        for flowing in self._flowing.values():
            flowing.set()

    def reset(self) -> None:
        """Reset all connections, on both sides. New ones can be made."""
        for pair in tuple(self._pairs):
            pair.reset()

    def unplug(self) -> None:
        """Reset all connections, and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset()

    async def plug(self) -> None:
        """Take connections again, on the same port."""
        if self._socket.fileno() < 0:
            self._socket = socket.create_server((_LOOPBACK, self.port))
        self._server = await asyncio.start_server(self._accept, sock=self._socket)

    def half_open(self, gone: Way) -> None:
        """Reset all connections on one side only (UP: the server's): the other side goes on talking to nobody."""
        for pair in tuple(self._pairs):
            pair.forsaken = True
            pair.reset(gone)

    def cut_after(self, count: int, way: Way = Way.UP) -> None:
        """Reset each connection when it has passed *count* more bytes that way, in the middle of whatever it is."""
        for pair in self._pairs:
            pair.passed[way] = 0
        self._cut_after = (way, count)

    def cut_at(self, words: bytes, *, delivered: bool) -> None:
        """Once: cut the connection whose client says *words*, so that it does not learn what came of them.

        *delivered*: the server still gets them, and all before; else it gets nothing of that piece.
        """
        self._cut_at = (words, delivered)

    async def said(self, words: bytes, *, hold: Way | None = None) -> None:
        """Return as soon as a client has said *words*, which are passed on; from then on that way is held."""
        heard = asyncio.Event()
        self._watched = (words, heard, hold)
        await heard.wait()

    # --- how it works --------------------------------------------------------------------------------------

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader = there_writer = None
        try:
            for flowing in self._flowing.values():
                await flowing.wait()
            if self._target is None:
                return
            there_reader, there_writer = await asyncio.open_connection(*self._target)
        except OSError:
            return
        finally:
            if there_writer is None:
                _abort(writer)
        pair = _Pair(writer, there_writer)
        self._pairs.add(pair)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(pair, Way.UP, reader))
                pumps.create_task(self._pump(pair, Way.DOWN, there_reader))
        finally:
            pair.reset()
            self._pairs.discard(pair)

    async def _pump(self, pair: _Pair, way: Way, source: asyncio.StreamReader) -> None:
        sink = pair.sides[way]
        with contextlib.suppress(OSError):
            while data := await source.read(_CHUNK):
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                await self._flowing[way].wait()
                if pair.forsaken:
                    continue  # nobody is there: what is said is lost
                if not await self._pass(pair, way, data):
                    return
        if not pair.forsaken:
            with contextlib.suppress(OSError, RuntimeError):
                await sink.drain()
                sink.write_eof() if sink.can_write_eof() else sink.close()

    async def _pass(self, pair: _Pair, way: Way, data: bytes) -> bool:
        """Pass *data* on; false when that was the end of the connection."""
        sink = pair.sides[way]
        if self._cut_at is not None and way is Way.UP and self._cut_at[0] in data:
            await self._cut_here(pair, data, delivered=self._cut_at[1])
            return False
        if self._watched is not None and way is Way.UP and self._watched[0] in data:
            _, heard, hold = self._watched
            self._watched = None
            if hold is not None:
                self.hold(hold)
            heard.set()
        allowed = len(data)
        if self._cut_after is not None and self._cut_after[0] is way:
            allowed = min(allowed, self._cut_after[1] - pair.passed[way])
        for piece in self._pieces(data[:allowed]):
            sink.write(piece)
            await sink.drain()
            pair.passed[way] += len(piece)
        if allowed < len(data):
            self.cuts += 1
            # What was passed should arrive: a reset would overtake it.
            sink.close()
            pair.reset(Way.UP if way is Way.DOWN else Way.DOWN)
            return False
        return True

    async def _cut_here(self, pair: _Pair, data: bytes, *, delivered: bool) -> None:
        self._cut_at = None
        self.cuts += 1
        pair.reset(Way.DOWN)
        server = pair.sides[Way.UP]
        if delivered:
            server.write(data)
            await server.drain()
            server.close()
        else:
            pair.reset(Way.UP)

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        size = self.piece or len(data) or 1
        for start in range(0, len(data), size):
            yield data[start : start + size]


def _abort(writer: asyncio.StreamWriter) -> None:
    """End it with RST."""
    made: socket.socket | None = writer.get_extra_info("socket")
    if made is not None and not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
