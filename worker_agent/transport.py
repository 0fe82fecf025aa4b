"""The road to the broker: two plain connections under our own supervision, one that publishes and one that consumes.

aio-pika's self-healing connection is not used: it closes everything and loops when one channel cannot be restored. Here
each connection has a supervisor of its own: the first reconnection is immediate, the next ones back off with jitter,
and nothing that a user of the road awaits is lost with it. Traps that shaped this module:

- a publish that is cancelled or times out under back-pressure leaves the confirms in doubt: it runs in a task that is
  never cancelled, and after a timeout the connection is thrown away and the outcome is unknown;
- a returned (unroutable) message counts as published unless one asks: `mandatory` with `on_return_raises`;
- a broker cancels a consumer without a word to the caller: the cancel callback, and a look at the queue from time to
  time, rebuild it.
"""

import asyncio
import contextlib
import itertools
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

import aio_pika
import aiormq
import structlog
from aiormq import spec
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage
from yarl import URL

from schemas.topology import AMQP_HEARTBEAT_S, EVENTS_EXCHANGE, EXCHANGES, worker_queue

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
PUBLISH_TIMEOUT_S: Final = 30.0
#: Backoff between connection attempts, after the first immediate one: doubled from the first to the second number.
BACKOFF_S: Final = (0.5, 30.0)
#: A connection that lived shorter than this counts as a failed attempt.
SHORT_LIFE_S: Final = 5.0
#: A consumption refused to us is asked for again so often.
IDENTITY_RETRY_S: Final = 1.0
#: After so much silence the consumer looks whether it still is one.
SILENCE_S: Final = 30.0
PREFETCH: Final = 100


class RoadError(Exception):
    """A publish whose outcome is unknown, or that was not taken: send it again."""


class ReturnedError(RoadError):
    """No queue takes the message (yet)."""


class RefusedError(RoadError):
    """The broker refused it (a full queue)."""


class NotAdmittedError(Exception):
    """The broker will not have us, and waiting will not help: wrong credentials or permissions."""


class IdentityHeldError(Exception):
    """Another agent consumes our queue."""


class Lane(Enum):
    """A channel of the publishing connection: a flood in one does not delay another."""

    EVENTS = "events"
    LOGS = "logs"
    BEATS = "beats"


class Address:
    """Where the broker is and as whom we speak to it; prints without the password."""

    def __init__(self, url: str, worker: str, instance: str) -> None:
        self.url = URL(url)
        self.worker = worker
        self.instance = instance
        self.user = self.url.user or "guest"

    def __str__(self) -> str:
        return str(self.url.with_user(None).with_query(None))

    async def dial(self, role: str) -> aio_pika.abc.AbstractConnection:
        """A new connection. Raises `NotAdmittedError`, or `OSError` and aio-pika's errors for what may pass."""
        name = f"w/{self.worker}/{self.instance}/{role}"
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
        self.failures = 0

    def next_s(self) -> float:
        self.failures += 1
        return min(self._longest_s, self._first_s * 2.0 ** min(self.failures - 1, 16)) * random.uniform(0.5, 1.0)


class Connection:
    """One connection kept alive: `build` is run on each new one, until it is lost; then again, at once."""

    def __init__(self, address: Address, role: str) -> None:
        self._address = address
        self._role = role
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
                await self._one_life(build)
            except NotAdmittedError as error:
                if not self._admitted:
                    raise
                await self._wait(str(error))
            except (OSError, TimeoutError, RuntimeError, aiormq.exceptions.AMQPError) as error:
                await self._wait(_words(error))

    async def _one_life(self, build: Callable[[AbstractConnection], Awaitable[None]]) -> None:
        self._lost = lost = asyncio.Event()
        loop = asyncio.get_running_loop()
        dialled = await self._address.dial(self._role)
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
            _dispose(dialled.close())
        if loop.time() - built_s < SHORT_LIFE_S:
            raise OSError("lost again at once")
        self._backoff.reset()

    async def _wait(self, why: str) -> None:
        pause_s = self._backoff.next_s()
        log.warning(
            f"no connection to the broker at {self._address}: {why}", role=self._role, next_attempt_s=round(pause_s, 1)
        )
        await asyncio.sleep(pause_s)


def _words(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


_disposals: set[asyncio.Task[None]] = set()


def _dispose(closing: Coroutine[Any, Any, None]) -> None:
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


class Publisher:
    """The publishing connection: one channel per lane, opened when first needed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection = Connection(address, "p")
        self._channels: dict[Lane, AbstractChannel] = {}
        self._raw: AbstractConnection | None = None
        self.ready = asyncio.Event()
        self._message_ids = (f"{address.instance}-{n:x}" for n in itertools.count(1))

    async def run(self) -> None:
        await self._connection.supervise(self._build)

    async def _build(self, raw: AbstractConnection) -> None:
        self._channels.clear()
        self._raw = raw
        channel = await self._open(raw, Lane.EVENTS)
        for exchange in EXCHANGES:
            await channel.exchange_declare(exchange.name, exchange_type=exchange.type, durable=True, timeout=10)
        raw.closing.add_done_callback(lambda _: self._discard(raw))
        self.ready.set()

    async def _open(self, raw: AbstractConnection, lane: Lane) -> AbstractChannel:
        confirms = lane is not Lane.BEATS
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            channel = await raw.channel(publisher_confirms=confirms, on_return_raises=confirms)
        self._channels[lane] = channel
        return channel

    async def publish(self, lane: Lane, key: str, body: bytes) -> None:
        """Publish and wait for the confirm (beats have none). Raises `RoadError` when it must be sent again. Call it
        from one task per lane."""
        raw = self._raw
        if raw is None:
            raise RoadError("not connected")
        try:
            channel = self._channels.get(lane)
            if channel is None or channel.is_closed:
                channel = await self._open(raw, lane)
        except (OSError, TimeoutError, RuntimeError, aiormq.exceptions.AMQPError) as error:
            self._discard(raw)
            raise RoadError(_words(error)) from None
        task = asyncio.ensure_future(self._publish(channel, lane, key, body))
        task.add_done_callback(_retrieve)
        done, _ = await asyncio.wait({task}, timeout=PUBLISH_TIMEOUT_S)
        if not done:
            self._discard(raw)
            raise RoadError("no confirm in time")
        failure = asyncio.CancelledError() if task.cancelled() else task.exception()
        if failure is not None:
            raise self._road_error(failure, raw, lane)

    def _road_error(self, error: BaseException, raw: AbstractConnection, lane: Lane) -> RoadError:
        if isinstance(error, aiormq.exceptions.PublishError):
            return ReturnedError("no queue takes it yet: is a coordinator running on this virtual host?")
        channel = self._channels.pop(lane, None)
        if isinstance(error, aiormq.exceptions.DeliveryError):
            # A channel whose first publish met a dying leader is refused for ever; a fresh one is not.
            if channel is not None:
                _dispose(channel.close(None))
            return RefusedError("refused by the broker")
        self._discard(raw)
        return RoadError(_words(error))

    async def _publish(self, channel: AbstractChannel, lane: Lane, key: str, body: bytes) -> None:
        beats = lane is Lane.BEATS
        properties = spec.Basic.Properties(
            content_type="application/json",
            delivery_mode=1 if beats else 2,
            message_id=next(self._message_ids),
            timestamp=datetime.now(UTC),
            user_id=self._address.user,
        )
        await channel.basic_publish(
            body, exchange=EVENTS_EXCHANGE, routing_key=key, properties=properties, mandatory=not beats
        )

    def _discard(self, raw: AbstractConnection) -> None:
        if self._raw is raw:
            self.ready.clear()
            self._channels.clear()
            self._raw = None
            self._connection.lose()


def _retrieve(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()


@dataclass(frozen=True, slots=True)
class Delivered:
    """A body as it came, and the way to acknowledge it. *old*: it lay in the queue before we did, so it answers nothing
    that we have said."""

    body: bytes
    tag: int
    channel: AbstractChannel
    old: bool = False

    async def acknowledge(self) -> None:
        """This one and all before it. Does nothing when its channel is gone: the broker delivers them again."""
        with contextlib.suppress(Exception):
            await self.channel.basic_ack(self.tag, multiple=True, wait=False)


class Consumer:
    """The consuming connection: declares the worker's own queue and consumes it exclusively."""

    def __init__(
        self,
        address: Address,
        on_message: Callable[[Delivered], None],
        on_joined: Callable[[], None],
        *,
        patience_s: float,
    ) -> None:
        self._patience_s = patience_s
        self._queue = worker_queue(address.worker)
        self._connection = Connection(address, "c")
        self._on_message = on_message
        self._on_joined = on_joined
        self._channel: AbstractChannel | None = None
        self._heard_s = 0.0

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._connection.supervise(self._build))
            group.create_task(self._watch())

    async def _build(self, raw: AbstractConnection) -> None:
        give_up_s = asyncio.get_running_loop().time() + self._patience_s
        while True:
            try:
                await self._consume(raw)
            except aiormq.exceptions.ChannelAccessRefused as error:
                if "exclusive" not in str(error):
                    raise NotAdmittedError(f"the broker does not let this agent use its queue: {error}") from None
                left_s = give_up_s - asyncio.get_running_loop().time()
                if left_s <= 0:
                    raise IdentityHeldError(
                        f"another agent holds this identity: queue {self._queue.name} was refused for "
                        f"{self._patience_s:.0f} s; stop the other one, or give this one its own --worker"
                    ) from None
                log.warning("another agent consumes this worker's queue; trying again", for_s=round(left_s))
                await asyncio.sleep(min(IDENTITY_RETRY_S, left_s))
            else:
                self._on_joined()
                return

    async def _consume(self, raw: AbstractConnection) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            channel = await raw.channel(publisher_confirms=False)

        old = 0

        async def deliver(message: DeliveredMessage) -> None:
            self._heard_s = loop.time()
            if message.delivery_tag is not None:
                self._on_message(Delivered(message.body, message.delivery_tag, channel, message.delivery_tag <= old))

        async def cancelled(_: object) -> None:
            self._connection.lose()

        channel.on_consumer_cancel_callbacks.add(cancelled)
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=10)
        declared = await channel.queue_declare(
            self._queue.name, durable=True, arguments=dict(self._queue.arguments), timeout=10
        )
        old = declared.message_count or 0
        await channel.basic_consume(self._queue.name, deliver, exclusive=True, timeout=10)
        channel.closing.add_done_callback(lambda _: self._connection.lose() if self._channel is channel else None)
        self._channel = channel
        self._heard_s = loop.time()

    async def _watch(self) -> None:
        """A consumer that hears nothing looks whether the queue is there and consumed; if not, it is built again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SILENCE_S / 2)
            channel = self._channel
            if channel is None or channel.is_closed or loop.time() - self._heard_s < SILENCE_S:
                continue
            try:
                answer = await channel.queue_declare(self._queue.name, passive=True, timeout=10)
                alive = bool(answer.consumer_count)
            except Exception:  # noqa: BLE001 - whatever it is, the remedy is a new connection
                alive = False
            if not alive:
                log.warning("the consumer is gone; building it again")
                self._connection.lose()
