"""Commands to the workers' queues, with confirms and without promises.

`send` only gathers. One task takes what has gathered and publishes it, many messages in flight at once, each with a
deadline. Nothing is repeated here but what the broker gives back (the worker's queue is declared and the message sent
once more): what must arrive has a row in the database, and is sent again from there. After a refusal, an error or a
deadline the channel is thrown away, because what the library then believes about it may be wrong.

Promises: memory is bounded; every message ends in one of the counts; `publish_raw` returns when the broker has the
message, and raises when that is not known.
"""

import asyncio
import itertools
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any, Final

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel
from aiormq.exceptions import DeliveryError, PublishError

from coordinator.transport.backoff import Backoff
from coordinator.transport.channels import close_channel, open_channel
from coordinator.transport.connection import SETTLED_S, Link, LinkClosedError, LostError, losses
from coordinator.transport.declare import TopologyError, declare_queue
from coordinator.transport.outbox import LIMIT_BYTES, Outbox, Parcel, UndeliveredError
from schemas.base import Message
from schemas.topology import QUEUES, WORKER_QUEUE_PREFIX, worker_queue

#: Messages that may wait for their confirmation at once.
AT_ONCE: Final = 200
#: How long the broker may take to confirm a message before its channel is given up.
CONFIRM_S: Final = 10.0
#: How long `publish_raw` waits, a broker that is away included.
RAW_S: Final = 15.0
_LONGEST_KEY: Final = 255
_OURS: Final = frozenset(queue.name for queue in QUEUES)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class PublishCounts:
    """What became of messages.

    Tries (`published`), and how they ended: confirmed, returned (no such queue), refused by the broker, unknown (lost
    or late). `dropped` are commands and messages given up before a try.
    """

    published: int = 0
    confirmed: int = 0
    returned: int = 0
    nacked: int = 0
    unknown: int = 0
    dropped: int = 0


class _Outcome(Enum):
    CONFIRMED = auto()
    RETURNED = auto()
    NACKED = auto()
    UNKNOWN = auto()


_PROBLEMS: Final = {
    _Outcome.RETURNED: "no queue takes it",
    _Outcome.NACKED: "the broker refused it",
    _Outcome.UNKNOWN: "the broker did not confirm it",
}


@dataclass(slots=True, eq=False)
class _Lane:
    """One channel, what is in flight on it, and why it takes nothing more."""

    connection: AbstractConnection
    channel: AbstractChannel
    flying: int = 0
    over: str | None = None


class Publisher:
    """The way out (`Courier`). Have `run` running, then `close`."""

    def __init__(
        self,
        link: Link,
        *,
        on_returned: Callable[[str], None] | None = None,
        at_once: int = AT_ONCE,
        confirm_s: float = CONFIRM_S,
        limit_bytes: int = LIMIT_BYTES,
    ) -> None:
        """Publish on *link*; *on_returned* hears of each worker whose queue was not there."""
        self._counts = PublishCounts()
        self._link = link
        self._on_returned = on_returned
        self._at_once = at_once
        self._confirm_s = confirm_s
        self._outbox = Outbox(limit_bytes=limit_bytes)
        self._wake = asyncio.Event()
        self._closing = False
        self._started: dict[Parcel, float] = {}
        self._declaring = asyncio.Lock()
        self._declarer: AbstractChannel | None = None
        self._ids = map((secrets.token_hex(8) + "-{}").format, itertools.count(1))

    @property
    def counts(self) -> PublishCounts:
        """What became of messages until now."""
        self._counts.dropped = self._outbox.dropped
        return self._counts

    @property
    def waiting_bytes(self) -> int:
        """What has gathered and is not yet in flight."""
        return self._outbox.size

    @property
    def in_flight(self) -> int:
        """Messages that wait for their confirmation."""
        return len(self._started)

    @property
    def oldest_s(self) -> float:
        """Age in seconds of the oldest message in flight: a broker that blocks its publishers shows here."""
        return time.monotonic() - next(iter(self._started.values())) if self._started else 0.0

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Gather *commands* for *worker*'s queue."""
        self._outbox.gather(worker, epoch, commands)
        self._wake.set()

    def reply(self, queue: str, correlation_id: str | None, body: Message) -> None:
        """Answer on *queue*, which the asker declared. Never on a queue of ours, whatever the asker says."""
        if not queue or queue in _OURS or queue.startswith(WORKER_QUEUE_PREFIX) or _too_long(queue):
            self._outbox.dropped += 1
            return
        encoded = body.model_dump_json().encode()
        self._outbox.put(Parcel(queue, encoded, persistent=False, correlation_id=correlation_id))
        self._wake.set()

    async def publish_raw(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        headers: Mapping[str, Any] | None = None,
        *,
        persistent: bool = True,
    ) -> None:
        """Publish *body* as it is; `UndeliveredError` when the broker has not confirmed it."""
        if _too_long(routing_key) or _too_long(exchange):
            raise UndeliveredError("an exchange or a routing key has at most 255 bytes")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._outbox.put(
            Parcel(routing_key, body, exchange=exchange, headers=headers, persistent=persistent, done=done)
        )
        self._wake.set()
        try:
            async with asyncio.timeout(RAW_S):
                await done
        except TimeoutError:
            raise UndeliveredError("the broker did not take it in time") from None

    def close(self) -> None:
        """Let `run` publish what has gathered, and end."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Publish until `close`."""
        backoff = Backoff()
        try:
            while not self._closing or self._outbox:
                born = time.monotonic()
                try:
                    await self._live(await self._link.connection())
                except LostError as error:
                    log.debug("publishing on a new channel", after=str(error))
                if time.monotonic() - born > SETTLED_S:
                    backoff.reset()
                await self._link.pause(backoff.next_s())
        except LinkClosedError:
            pass
        finally:
            self._outbox.clear()

    async def _live(self, connection: AbstractConnection) -> None:
        """Publish on a channel of its own until that is over, and until all in flight has come down."""
        lane = _Lane(connection, await open_channel(connection, confirms=True))
        lane.channel.closing.add_done_callback(lambda _: self._end(lane, "the channel was closed"))
        try:
            async with asyncio.TaskGroup() as flights:
                while lane.over is None:
                    while lane.flying < self._at_once and (parcel := self._outbox.take()) is not None:
                        lane.flying += 1
                        flights.create_task(self._fly(lane, parcel))
                    if self._closing and not lane.flying:
                        return
                    await self._wake.wait()
                    self._wake.clear()
        finally:
            await self._drop_declarer()
            await close_channel(lane.channel)
        raise LostError(lane.over)

    def _end(self, lane: _Lane, why: str) -> None:
        lane.over = lane.over or why
        self._wake.set()

    async def _fly(self, lane: _Lane, parcel: Parcel) -> None:
        self._started[parcel] = time.monotonic()
        outcome = _Outcome.UNKNOWN
        try:
            outcome = await self._try(lane, parcel)
            if outcome is _Outcome.RETURNED and parcel.worker is not None:
                if self._on_returned is not None:
                    self._on_returned(parcel.worker)
                if await self._declare(lane, parcel.worker):
                    outcome = await self._try(lane, parcel)
        finally:
            del self._started[parcel]
            lane.flying -= 1
            parcel.settle(_PROBLEMS.get(outcome))
            self._wake.set()

    async def _try(self, lane: _Lane, parcel: Parcel) -> _Outcome:
        self._counts.published += 1
        try:
            with losses():
                # `wait` is missing in the abstract class: the frame need not reach the socket before the next.
                await lane.channel.basic_publish(  # type: ignore[call-arg]
                    parcel.body,
                    exchange=parcel.exchange,
                    routing_key=parcel.routing_key,
                    properties=self._properties(parcel),
                    mandatory=True,
                    timeout=self._confirm_s,
                    wait=False,
                )
        except LostError as error:
            match error.__cause__:
                case PublishError():
                    self._counts.returned += 1
                    return _Outcome.RETURNED
                case DeliveryError():
                    self._counts.nacked += 1
                    self._end(lane, "the broker refused a message")
                    return _Outcome.NACKED
            self._counts.unknown += 1
            self._end(lane, str(error))
            return _Outcome.UNKNOWN
        self._counts.confirmed += 1
        return _Outcome.CONFIRMED

    def _properties(self, parcel: Parcel) -> spec.Basic.Properties:
        return spec.Basic.Properties(
            content_type="application/json",
            delivery_mode=2 if parcel.persistent else 1,
            message_id=next(self._ids),
            correlation_id=parcel.correlation_id,
            timestamp=datetime.now(UTC),
            user_id=self._link.user,
            headers=dict(parcel.headers) if parcel.headers else None,
        )

    async def _declare(self, lane: _Lane, worker: str) -> bool:
        """Declare the queue of *worker* on a channel apart: a refusal closes it, and nothing else."""
        async with self._declaring:
            try:
                if self._declarer is None or self._declarer.is_closed:
                    self._declarer = await open_channel(lane.connection)
                await declare_queue(self._declarer, worker_queue(worker))
            except (LostError, TopologyError) as error:
                log.warning("worker's queue not declared", worker=worker, problem=str(error))
                await self._drop_declarer()
                return False
            return True

    async def _drop_declarer(self) -> None:
        declarer, self._declarer = self._declarer, None
        if declarer is not None:
            await close_channel(declarer)


def _too_long(name: str) -> bool:
    return len(name.encode()) > _LONGEST_KEY
