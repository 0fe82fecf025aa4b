"""One supervised connection to the broker.

Plain connections, not the library's robust ones: those close everything and spin when one channel cannot be
restored. A `Link` dials until it gets through (at once after a loss, then with growing waits), says so in the log
once and not at every try, and tells who waits for it. What ran on a lost connection is not restored here: consumers and
publisher build their own channels again on the next one.

Promises: wrong credentials or an unknown virtual host at the first connection are `BrokerRefusedError`, one line; an
unreachable broker is waited for; a refusal later on (a password was changed) is logged and tried again.
"""

import asyncio
import contextlib
import itertools
import logging
import secrets
import time
from collections.abc import Iterator
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

import aio_pika
import structlog
from aio_pika.abc import AbstractConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import InvalidFrameError, ProbableAuthenticationError
from aiormq.abc import AbstractConnection as InnerConnection

from coordinator.transport.backoff import Backoff
from schemas import topology
from schemas.topology import AMQP_HEARTBEAT_S

#: What a stopped coordinator holds must come back while the agents are still trusted.
HEARTBEAT_S: Final = AMQP_HEARTBEAT_S
CONNECT_S: Final = 10.0
CLOSE_S: Final = 5.0
#: A connection that lived this long has proved that the broker is well.
SETTLED_S: Final = 5.0
_REMIND_S: Final = 60.0
#: A connection that is free says so at once.
_ASK_S: Final = 0.05
_PORTS: Final = {"amqp": 5672, "amqps": 5671}

log = structlog.get_logger(__name__)


class BrokerRefusedError(Exception):
    """The broker (or the URL) will not do, and trying again will not help. The message is one line for a person."""


class LostError(Exception):
    """The connection, the channel or the answer did not come. Trying again may help."""


class LinkClosedError(Exception):
    """Nobody dials any more: the link was closed."""


@contextlib.contextmanager
def losses() -> Iterator[None]:
    """Turn whatever a dying connection throws into `LostError`; put only calls of the client library inside.

    Among them are RuntimeError, plain Exception, and a CancelledError that nobody asked for.
    """
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise LostError("the connection was lost") from error
    except TimeoutError as error:
        raise LostError("no answer from the broker in time") from error
    except Exception as error:
        raise LostError(_words(error)) from error


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """For what is done to a connection that is given up: whatever it throws says nothing new."""
    with contextlib.suppress(LostError), losses():
        yield


def quiet_client() -> None:
    """Silence the libraries' own log: they report each failed try with a traceback; we say it once, in a line."""
    for name in ("aiormq", "aio_pika"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Link:
    """A connection that is kept up. `open` it, have `run` running, `close` it."""

    def __init__(
        self, url: str, *, coordinator: str, purpose: str, heartbeat_s: int = HEARTBEAT_S, patient: bool = False
    ) -> None:
        """For *purpose* (a word), known to the broker by it and by *coordinator*. *patient*: waits after a refusal,
        too."""
        self._patient = patient
        parts, port = _parse(url)
        self.user = unquote(parts.username or "guest")
        self._vhost = unquote(parts.path[1:]) or "/"
        self._where = f"{parts.hostname}:{port}"
        self._url = make_url(url, heartbeat=heartbeat_s)
        self._names = map(
            (topology.coordinator_connection(coordinator, purpose, secrets.token_hex(4)) + "-{}").format,
            itertools.count(1),
        )
        #: The newest connection's, as the broker knows it: another for each.
        self.name = ""
        self._properties = {
            "product": "farmhand",
            "role": "coordinator",
            "coordinator": coordinator,
            "purpose": purpose,
        }
        self._log = log.bind(broker=self._where, purpose=purpose)
        self._current: AbstractConnection | None = None
        self._alive = False
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._closing = asyncio.Event()
        self._backoff = Backoff()
        self.connections = 0
        self.tries = 0

    @property
    def connected(self) -> bool:
        """Whether the connection is up now."""
        return self._alive

    @property
    def closing(self) -> bool:
        """Whether the end was asked for: finish what is in hand, start nothing."""
        return self._closing.is_set()

    async def open(self) -> None:
        """Make the first connection. Waits for a broker that is not there; `BrokerRefusedError` when it says no."""
        if self._current is None:
            await self._dial_until_up(refusable=not self._patient)

    async def run(self) -> None:
        """Keep the connection up until `close`."""
        await self.open()
        while not self.closing:
            await self._down.wait()
            await self._drop()
            if not self.closing:
                await self._dial_until_up(refusable=False)

    async def connection(self) -> AbstractConnection:
        """The connection, when it is up. `LinkClosedError` when it never will be again."""
        while True:
            if self._alive and self._current is not None:
                return self._current
            if self.closing:
                raise LinkClosedError
            await self._up.wait()

    async def blocked(self) -> bool:
        """Whether the broker has said that it takes nothing: it has a memory or disk alarm."""
        if not self._alive or self._current is None:
            return False
        try:
            async with asyncio.timeout(_ASK_S):
                await underlay(self._current).ready()
        except TimeoutError:
            return self._alive
        except LostError:
            return False
        return False

    async def pause(self, seconds: float) -> None:
        """Wait *seconds*, or less when the link is being closed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    def begin_close(self) -> None:
        """Ask all who use the link to finish. It stays up until `close`."""
        self._closing.set()
        self._up.set()

    async def close(self) -> None:
        """End it, properly where the broker still answers."""
        self.begin_close()
        self._down.set()
        await self._drop()

    async def _dial_until_up(self, *, refusable: bool) -> None:
        said, said_at, since = "", 0.0, time.monotonic()
        while not self.closing:
            await self.pause(self._backoff.next_s())
            self.tries += 1
            try:
                self._take(await self.dial())
            except BrokerRefusedError as error:
                if refusable:
                    raise
                problem = str(error)
            except LostError as error:
                problem = str(error)
            else:
                self._log.info("broker connected", waited_s=round(time.monotonic() - since, 1))
                return
            if problem != said or time.monotonic() - said_at > _REMIND_S:
                said, said_at = problem, time.monotonic()
                self._log.warning("broker not reached, trying again", problem=problem)

    async def dial(self) -> AbstractConnection:
        """One try, whose connection belongs to the caller. `BrokerRefusedError`, or `LostError` for what may pass."""
        self.name = next(self._names)
        connection = aio_pika.Connection(
            self._url, client_properties={"connection_name": self.name, **self._properties}
        )
        try:
            with losses():
                await connection.connect(timeout=CONNECT_S)
        except LostError as error:
            with quietly():
                await connection.close()
            raise self._verdict(error) from error
        except BaseException:
            with quietly():
                await connection.close()
            raise
        return connection

    def _verdict(self, error: LostError) -> Exception:
        match error.__cause__:
            case ProbableAuthenticationError():
                return BrokerRefusedError(
                    f"the broker at {self._where} refuses user {self.user!r}: check the name and password in its URL"
                )
            # The library drops the broker's words here; only a refusal is answered like this.
            case InvalidFrameError() as cause if "Connection.OpenOk" in str(cause):
                return BrokerRefusedError(
                    f"the broker at {self._where} refuses virtual host {self._vhost!r}: create it, "
                    f"or give user {self.user!r} permissions on it"
                )
        return error

    def _take(self, connection: AbstractConnection) -> None:
        self._current = connection
        self.connections += 1
        born = time.monotonic()

        def lost(closing: "asyncio.Future[object]") -> None:
            if connection is not self._current:
                return
            self._alive = False
            if self.closing:
                return
            if time.monotonic() - born > SETTLED_S:
                self._backoff.reset()
            cause = None if closing.cancelled() else closing.exception()
            # The library cancels itself when no heartbeat comes.
            problem = _words(cause) if isinstance(cause, Exception) else "the broker fell silent"
            self._log.warning("broker connection lost", problem=problem)
            self._up.clear()
            self._down.set()

        self._alive = True
        self._down.clear()
        self._up.set()
        underlay(connection).closing.add_done_callback(lost)

    async def _drop(self) -> None:
        connection, self._current, self._alive = self._current, None, False
        if connection is not None:
            with quietly():
                async with asyncio.timeout(CLOSE_S):
                    await connection.close()


def _parse(url: str) -> tuple[SplitResult, int]:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS[parts.scheme]
    except (ValueError, KeyError):
        parts, port = urlsplit(""), 0
    if parts.scheme not in _PORTS or not parts.hostname:
        raise BrokerRefusedError("the broker's URL must look like amqp://user:password@host:port/vhost")
    return parts, port


def underlay(connection: AbstractConnection) -> InnerConnection:
    """The library's inner connection, which knows when it ends. `LostError` when it has ended."""
    if connection.transport is None:
        raise LostError("the connection was lost")
    return connection.transport.connection


def _words(error: BaseException) -> str:
    return " ".join((str(error) or type(error).__name__).split())
