"""Deliveries of one queue, in batches, and their acknowledgement.

A `Consumer` hands what has arrived to its sink and does nothing else with it: the prefetch count is the bound on
memory, and not settling is the way to pause. One frame acknowledges all that is settled without a gap.

Promises: each delivery is handed over at most once per channel; a tag is only ever acknowledged on the channel it came
on; whatever ends the channel (lost connection, deleted queue, the broker's cancellation, thirty silent seconds), it is
declared and consumed again on a new one, and the broker delivers again what was not settled.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage

from coordinator.operations.ports import Delivery, Sink
from coordinator.transport.backoff import Backoff
from coordinator.transport.channels import ANSWER_S, close_channel, open_channel
from coordinator.transport.connection import SETTLED_S, Link, LinkClosedError, LostError, losses
from coordinator.transport.declare import TopologyError, declare
from coordinator.transport.lenient import plain
from schemas.topology import EVENTS_QUEUE, HEARTBEATS_QUEUE, LOGS_QUEUE, Queue

#: A consumer that received nothing for so long, and holds nothing, may be dead without knowing: it is built again.
#: (RabbitMQ 3.10 tells the consumers of a quorum queue nothing when it is deleted and declared again at once.)
IDLE_S: Final = 30.0
PREFETCH: Final = {EVENTS_QUEUE: 500, HEARTBEATS_QUEUE: 1000, LOGS_QUEUE: 200}
DEFAULT_PREFETCH: Final = 50

_generations = itertools.count(1)
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ConsumeCounts:
    """What one consumer has seen: messages received, acknowledged, settled too late for their channel; channels."""

    received: int = 0
    acknowledged: int = 0
    forgotten: int = 0
    channels: int = 0


@dataclass(slots=True)
class Life:
    """One channel's time: what arrived and is not handed over, what is settled, what is acknowledged."""

    channel: AbstractChannel
    generation: int
    wake: asyncio.Event
    batch: list[Delivery] = field(default_factory=list)
    received: int = 0
    settled: int = 0
    beyond: set[int] = field(default_factory=set)
    acknowledged: int = 0
    ended: str | None = None

    def settle(self, tag: int) -> None:
        """*tag* is done; `settled` is the highest below which all are."""
        if tag == self.settled + 1:
            self.settled = tag
            while self.beyond and self.settled + 1 in self.beyond:
                self.settled += 1
                self.beyond.remove(self.settled)
        elif tag > self.settled:
            self.beyond.add(tag)

    def end(self, why: str) -> None:
        """The channel is of no more use."""
        self.ended = self.ended or why
        self.wake.set()


class Consumer:
    """The intake of one queue (`Intake`). Have `run` running; `stop`, settle what is in hand, then `close`."""

    def __init__(
        self,
        link: Link,
        queue: Queue,
        sink: Sink,
        *,
        prefetch: int | None = None,
        idle_s: float = IDLE_S,
        prepare: Callable[[AbstractConnection], Awaitable[None]] | None = None,
    ) -> None:
        """Consume *queue* into *sink*, which is called from `run` and must not wait. *prepare* declares it, where it is
        not one of the farm's own."""
        self.queue = queue
        self.counts = ConsumeCounts()
        self.tries = 0
        self._link = link
        self._sink = sink
        self._prefetch = prefetch or PREFETCH.get(queue.name, DEFAULT_PREFETCH)
        self._idle_s = idle_s
        self._prepare = prepare
        self._wake = asyncio.Event()
        self._life: Life | None = None
        self._began_at: float | None = None
        self._stopped = False
        self._closing = False
        self._log = log.bind(queue=queue.name)

    @property
    def consuming(self) -> bool:
        """Whether the broker delivers to us now."""
        return self._life is not None and self._life.ended is None and not self._stopped

    @property
    def lives(self) -> int:
        """How many times it began to consume: a change means that it may have missed something in between."""
        return self.counts.channels

    @property
    def acknowledged(self) -> int:
        """How many deliveries were dealt with."""
        return self.counts.acknowledged

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge *deliveries* soon. Those of a channel that is gone are forgotten: they come again."""
        life = self._life
        for delivery in deliveries:
            if life is not None and delivery.channel == life.generation:
                life.settle(delivery.tag)
            else:
                self.counts.forgotten += 1
        self._wake.set()

    def stop(self) -> None:
        """Hand over nothing more, from now on. What was handed over can still be settled."""
        self._stopped = True
        self._wake.set()

    def close(self) -> None:
        """Let `run` acknowledge what is settled, give the rest back to the broker, and end."""
        self.stop()
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Consume until `close`."""
        backoff, said = Backoff(), ""
        while not (self._closing or self._stopped or self._link.closing):
            self.tries += 1
            self._began_at = None
            try:
                await self._live(await self._link.connection())
            except LinkClosedError:
                return
            except (LostError, TopologyError) as error:
                if self._lived_s is None and str(error) != said:
                    said = str(error)
                    self._log.warning("cannot consume", problem=said)
            if self._lived_s is not None:
                said = ""
                if self._lived_s > SETTLED_S:
                    backoff.reset()
            await self._link.pause(backoff.next_s())

    @property
    def _lived_s(self) -> float | None:
        """How long ago the last try began to consume; None when it never did."""
        return None if self._began_at is None else time.monotonic() - self._began_at

    async def _live(self, connection: AbstractConnection) -> None:
        """Consume on a channel of its own until that ends."""
        await (self._prepare(connection) if self._prepare else declare(connection, [self.queue]))
        life = Life(await open_channel(connection), next(_generations), self._wake)
        self.counts.channels += 1
        try:
            await self._begin(life)
            self._life, self._began_at = life, time.monotonic()
            await self._keep(life)
            self._log.debug("channel ended", reason=life.ended or "idle")
        finally:
            self._life = None
            await close_channel(life.channel)

    async def _begin(self, life: Life) -> None:
        channel = life.channel
        channel.closing.add_done_callback(lambda closing: life.end(_reason(closing)))
        channel.on_consumer_cancel_callbacks.add(lambda _: life.end("the broker canceled the consumer"))
        name, generation, wake = self.queue.name, life.generation, self._wake

        async def take(message: DeliveredMessage) -> None:
            delivery = _delivery(name, generation, message)
            life.received = delivery.tag
            life.batch.append(delivery)
            if not wake.is_set():
                wake.set()

        with losses():
            async with asyncio.timeout(ANSWER_S):
                await channel.basic_qos(prefetch_count=self._prefetch)
                await channel.basic_consume(name, take, consumer_tag=f"{name}.{generation}")

    async def _keep(self, life: Life) -> None:
        canceled = False
        while life.ended is None:
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._wake.wait()
            except TimeoutError:
                if life.received == life.settled and not self._stopped:
                    return
                continue
            self._wake.clear()
            if life.ended is not None:
                break
            if life.batch and not self._stopped:
                batch, life.batch = life.batch, []
                self.counts.received += len(batch)
                self._sink(batch)
            if life.settled > life.acknowledged:
                await self._acknowledge(life)
            if self._closing:
                return
            if self._stopped and not canceled:
                canceled = True
                await self._cancel(life)

    async def _acknowledge(self, life: Life) -> None:
        upto = life.settled
        with losses():
            async with asyncio.timeout(ANSWER_S):
                await life.channel.basic_ack(upto, multiple=True, wait=False)
        self.counts.acknowledged += upto - life.acknowledged
        life.acknowledged = upto

    async def _cancel(self, life: Life) -> None:
        with losses():
            async with asyncio.timeout(ANSWER_S):
                await life.channel.basic_cancel(f"{self.queue.name}.{life.generation}")


def _reason(closing: "asyncio.Future[Any]") -> str:
    error = None if closing.cancelled() else closing.exception()
    return str(error) or type(error).__name__ if error is not None else "the channel was closed"


def _delivery(queue: str, generation: int, message: DeliveredMessage) -> Delivery:
    frame, properties = message.delivery, message.header.properties
    assert isinstance(frame, spec.Basic.Deliver)  # noqa: S101 - for the type checker; nothing else reaches a consumer
    headers = properties.headers
    return Delivery(
        queue=queue,
        routing_key=frame.routing_key or "",
        body=message.body,
        channel=generation,
        tag=frame.delivery_tag or 0,
        user_id=properties.user_id,
        message_id=properties.message_id,
        reply_to=properties.reply_to,
        correlation_id=properties.correlation_id,
        content_type=properties.content_type,
        redelivered=bool(frame.redelivered),
        headers=plain(headers) if headers else {},
    )
