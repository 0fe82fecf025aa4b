"""The publishing connection."""

import asyncio
import itertools
from datetime import UTC, datetime
from enum import Enum
from typing import Final

import aiormq
import structlog
from aiormq import spec
from aiormq.abc import AbstractChannel, AbstractConnection

from schemas.topology import EVENTS_EXCHANGE, EXCHANGES, Exchange
from worker_agent.transport.connection import (
    PUBLISHING,
    Address,
    Connection,
    Declare,
    declared,
    dispose,
    open_channel,
    unasked_as_loss,
    words_of,
)

log = structlog.get_logger(__name__)

PUBLISH_TIMEOUT_S: Final = 30.0


class RoadError(Exception):
    """A publish whose outcome is unknown, or that was not taken: send it again."""


class ReturnedError(RoadError):
    """No queue takes the message (yet)."""


class RefusedError(RoadError):
    """The broker refused it (a full queue)."""


class Lane(Enum):
    """A channel of the publishing connection: a flood in one does not delay another."""

    EVENTS = "events"
    LOGS = "logs"
    BEATS = "beats"


class Publisher:
    """The publishing connection: one channel per lane, opened when first needed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection = Connection(address, PUBLISHING)
        self._channels: dict[Lane, AbstractChannel] = {}
        self._raw: AbstractConnection | None = None
        self.ready = asyncio.Event()
        self._message_ids = (f"{address.instance}-{n:x}" for n in itertools.count(1))

    async def run(self) -> None:
        """For ever; raises as `Connection.supervise`."""
        await self._connection.supervise(self._build)

    async def _build(self, raw: AbstractConnection) -> None:
        self._channels.clear()
        self._raw = raw
        for exchange in EXCHANGES:
            self._channels[Lane.EVENTS], _ = await declared(raw, _declaration(exchange), confirms=True)
        raw.closing.add_done_callback(lambda _: self._discard(raw))
        self.ready.set()

    async def publish(self, lane: Lane, key: str, body: bytes) -> None:
        """Publish and wait for the confirm (beats have none). Raises `RoadError` when it must be sent again. Call it
        from one task per lane."""
        raw = self._raw
        if raw is None:
            raise RoadError("not connected")
        try:
            channel = self._channels.get(lane)
            if channel is None or channel.is_closed:
                with unasked_as_loss():
                    channel = await open_channel(raw, confirms=lane is not Lane.BEATS)
                self._channels[lane] = channel
        except (OSError, TimeoutError, RuntimeError, aiormq.exceptions.AMQPError) as error:
            self._discard(raw)
            raise RoadError(words_of(error)) from None
        task = asyncio.ensure_future(self._publish(channel, lane, key, body))
        task.add_done_callback(_retrieve)
        while not (await asyncio.wait({task}, timeout=PUBLISH_TIMEOUT_S))[0]:
            # A broker with an alarm (memory, disk) says that it takes nothing: then waiting is all there is to do.
            if not await _is_blocked(raw):
                self._discard(raw)
                raise RoadError("no confirm in time")
            log.warning("the broker takes nothing: it has a memory or disk alarm", lane=lane.value)
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
                dispose(channel.close(None))
            return RefusedError("refused by the broker")
        self._discard(raw)
        return RoadError(words_of(error))

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


async def _is_blocked(raw: AbstractConnection) -> bool:
    try:
        async with asyncio.timeout(0.1):
            await raw.ready()
    except TimeoutError:
        return not raw.is_closed
    return False


def _retrieve(task: "asyncio.Future[None]") -> None:
    if not task.cancelled():
        task.exception()


def _declaration(exchange: Exchange) -> Declare[object]:
    async def declare(channel: AbstractChannel, *, passive: bool) -> object:
        return await channel.exchange_declare(
            exchange.name, exchange_type=exchange.type, durable=True, passive=passive, timeout=10
        )

    return declare
