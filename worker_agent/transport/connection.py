"""One connection kept alive: dialled, built, and when it is lost dialled again."""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, Protocol, TypeVar

import aio_pika
import aiormq
import structlog
from aiormq.abc import AbstractChannel, AbstractConnection
from yarl import URL

from schemas.topology import AMQP_HEARTBEAT_S, consuming_connection

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
#: Backoff between connection attempts, after the first immediate one: doubled from the first to the second number. From
#: the broker's return every worker has `lost_after` (30 s or more) to be heard again: it must be a part of that.
BACKOFF_S: Final = (0.5, 10.0)
#: A connection that lived shorter than this counts as a failed attempt.
SHORT_LIFE_S: Final = 5.0
#: What a connection is for.
CONSUMING: Final = "c"
PUBLISHING: Final = "p"

T_co = TypeVar("T_co", covariant=True)


class NotAdmittedError(Exception):
    """The broker will not have us, and waiting will not help: wrong credentials or permissions."""


class Address:
    """Where the broker is and as whom we speak to it; prints without the password."""

    def __init__(self, url: str, worker: str, instance: str) -> None:
        self.url = URL(url)
        self.worker = worker
        self.instance = instance
        self.user = self.url.user or "guest"
        self._dialled = itertools.count(1)

    def __str__(self) -> str:
        return str(self.url.with_user(None).with_query(None))

    def name(self, role: str) -> str:
        """The name of a new connection."""
        number = next(self._dialled)
        if role == CONSUMING:
            return consuming_connection(self.worker, self.instance, number)
        return f"w/{self.worker}/{self.instance}/{role}{number}"

    async def dial(self, name: str) -> aio_pika.abc.AbstractConnection:
        """A new connection. Raises `NotAdmittedError`, or `OSError` and aio-pika's errors for what may pass."""
        properties: dict[str, Any] = {
            "connection_name": name,
            "worker": self.worker,
            "instance": self.instance,
        }
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await aio_pika.connect(self.url, client_properties=properties, heartbeat=AMQP_HEARTBEAT_S)
        except aiormq.exceptions.ProbableAuthenticationError:
            raise NotAdmittedError(
                f"the broker at {self} refuses user {self.user!r}: check name and password in --amqp-url"
            ) from None
        except aiormq.exceptions.AuthenticationError:
            raise NotAdmittedError(f"the broker at {self} does not offer a login with a password") from None
        except aiormq.exceptions.InvalidFrameError as error:
            # How aiormq words a broker that closes the connection where it should open the virtual host.
            if "OpenOk" not in str(error):
                raise
            raise NotAdmittedError(
                f"the broker at {self} has no virtual host {self.url.path!r}, or none for user {self.user!r}"
            ) from None


class Backoff:
    """Seconds to wait before the next attempt: doubled each time, with jitter."""

    def __init__(self, first_s: float = BACKOFF_S[0], longest_s: float = BACKOFF_S[1]) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self.failures = 0

    def reset(self) -> None:
        """All is well."""
        self.failures = 0

    def next_s(self) -> float:
        """After one more failure."""
        self.failures += 1
        return min(self._longest_s, self._first_s * 2.0 ** min(self.failures - 1, 16)) * random.uniform(0.5, 1.0)


class Connection:
    """One connection kept alive: `build` is run on each new one, until it is lost; then again, at once."""

    def __init__(self, address: Address, role: str) -> None:
        self._address = address
        self._role = role
        #: The name of the newest connection, as the broker knows it.
        self.name = ""
        self._lost = asyncio.Event()
        self._admitted = False
        self._backoff = Backoff()

    def lose(self) -> None:
        """Throw the connection away; the supervisor makes another."""
        self._lost.set()

    async def supervise(self, build: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        """For ever. Raises `NotAdmittedError` when the broker has never had us, `IdentityHeldError` from *build*."""
        while True:
            try:
                with unasked_as_loss():
                    await self._one_life(build)
            except NotAdmittedError as error:
                if not self._admitted:
                    raise
                await self._wait(str(error))
            except (OSError, TimeoutError, RuntimeError, aiormq.exceptions.AMQPError) as error:
                await self._wait(words_of(error))

    async def _one_life(self, build: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        self._lost = lost = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.name = self._address.name(self._role)
        dialled = await self._address.dial(self.name)
        try:
            dialled.close_callbacks.add(lambda *_: lost.set())
            if dialled.transport is None:
                raise OSError("lost at once")
            await build(dialled.transport.connection)
            self._admitted = True
            if self._backoff.failures:
                log.info("connected to the broker again", role=self._role)
            built_s = loop.time()
            await lost.wait()
        finally:
            dispose(dialled.close())
        if loop.time() - built_s < SHORT_LIFE_S:
            raise OSError("lost again at once")
        self._backoff.reset()

    async def _wait(self, why: str) -> None:
        pause_s = self._backoff.next_s()
        log.warning(
            "no connection to the broker",
            broker=str(self._address),
            problem=why,
            role=self._role,
            again_in_s=round(pause_s, 1),
        )
        await asyncio.sleep(pause_s)


@contextlib.contextmanager
def unasked_as_loss() -> Iterator[None]:
    """A cancellation that nobody asked for is how the client library says that a connection was lost."""
    try:
        yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise OSError("the connection was lost") from None


async def lasting(work: Coroutine[Any, Any, None]) -> None:
    """Do *work*. Should it be cancelled by nobody, that is an error: a group of tasks passes over those that are
    cancelled, and all the others would go on without it."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"{getattr(work, '__qualname__', work)} was cancelled by nobody") from None


def words_of(error: BaseException) -> str:
    """What is wrong, in one line."""
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


_disposals: set[asyncio.Task[None]] = set()


def dispose(closing: Coroutine[Any, Any, None]) -> None:
    """Close in the background: closing may wait for a broker that does not answer."""

    async def close() -> None:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            async with asyncio.timeout(5.0):
                await closing

    task = asyncio.create_task(close())
    _disposals.add(task)
    task.add_done_callback(_disposals.discard)


async def disposed() -> None:
    """Wait for connections that are being closed."""
    if _disposals:
        await asyncio.wait(_disposals, timeout=3.0)


class Declare(Protocol[T_co]):
    """Declares something on a channel, or looks whether it is there (passive)."""

    async def __call__(self, channel: AbstractChannel, *, passive: bool) -> T_co:
        """The broker's answer."""


async def declared(
    raw: AbstractConnection, declare: Declare[T_co], *, confirms: bool = False
) -> tuple[AbstractChannel, T_co]:
    """A new channel, and what *declare* answered on it.

    A user who may not declare looks whether it is there; what is refused closes the channel, hence a second one.
    """
    channel = await open_channel(raw, confirms=confirms)
    try:
        return channel, await declare(channel, passive=False)
    except aiormq.exceptions.ChannelAccessRefused:
        channel = await open_channel(raw, confirms=confirms)
        return channel, await declare(channel, passive=True)


async def open_channel(raw: AbstractConnection, *, confirms: bool) -> AbstractChannel:
    """A new channel; with *confirms*, a returned message raises."""
    async with asyncio.timeout(CONNECT_TIMEOUT_S):
        return await raw.channel(publisher_confirms=confirms, on_return_raises=confirms)
