"""A line to somebody else's broker, for gateways whose protocol is AMQP: we consume, publish, and own nothing there but
our queues.

Two connections, as on the farm's own broker: one that is blocked by an alarm must not keep acknowledgements back.
Nothing is promised for what is published but an answer: it has arrived, or that is not known.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelNotFoundEntity

from coordinator.operations.lasting import lasting
from coordinator.operations.ports import Delivery, Post, Sink, Source
from coordinator.operations.requests import UnavailableError
from coordinator.transport import lenient
from coordinator.transport.channels import ANSWER_S, close_channel, open_channel
from coordinator.transport.connection import Link, LostError, losses, quiet_client
from coordinator.transport.consumer import Consumer
from coordinator.transport.declare import TopologyError, explain
from schemas.topology import Queue

#: Seconds until the consumer of a silent queue is built again.
IDLE_S: Final = 120.0
#: Seconds between two of AMQP's heartbeats. A dead line is noticed after some 13 (the library waits for three times one
#: more), well before those are given up whom we cannot hear over it.
HEARTBEAT_S: Final = 3


class GuestBroker:
    """What `operations.ports.Guest` asks for."""

    def __init__(self, url: str, purpose: str, *, coordinator: str, heartbeat_s: int = HEARTBEAT_S) -> None:
        """At the broker of *url*. `BrokerRefusedError` for a wrong one."""
        lenient.install()
        quiet_client()
        self._consuming = Link(
            url, coordinator=coordinator, purpose=f"{purpose}-in", heartbeat_s=heartbeat_s, patient=True
        )
        self._publishing = Link(
            url, coordinator=coordinator, purpose=f"{purpose}-out", heartbeat_s=heartbeat_s, patient=True
        )
        self._consumers: dict[str, Consumer] = {}
        #: Of each queue: how many messages waited in it when it was last declared.
        self._waiting: dict[str, int] = {}
        self._channel: AbstractChannel | None = None
        self._opening = asyncio.Lock()
        #: To look at queues: one that is not there ends its channel, and whatever else goes on there.
        self._looking: AbstractChannel | None = None
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        """Whether both connections are up and every queue is consumed."""
        consuming = all(one.consuming for one in self._consumers.values())
        return consuming and self._consuming.connected and self._publishing.connected

    def consume(self, source: Source, sink: Sink, prefetch: int) -> None:
        """Have what comes to *source* handed to *sink*."""
        self._consumers[source.queue] = Consumer(
            self._consuming, Queue(source.queue), sink, prefetch=prefetch, idle_s=IDLE_S,
            prepare=partial(self._prepare, source),
        )  # fmt: skip

    async def run(self) -> None:
        """Keep everything going until canceled: a refusal of the broker is logged, and it is tried again."""
        try:
            async with asyncio.TaskGroup() as group:
                for link in (self._consuming, self._publishing):
                    group.create_task(lasting(link.run()))
                for consumer in self._consumers.values():
                    group.create_task(lasting(consumer.run()))
        finally:
            await asyncio.gather(self._consuming.close(), self._publishing.close())

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge *deliveries*, of whichever queue."""
        by_queue: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_queue.setdefault(delivery.queue, []).append(delivery)
        for queue, some in by_queue.items():
            await self._consumers[queue].settle(some)

    def had_waited(self, delivery: Delivery) -> bool:
        """Whether it lay in its queue when we began to consume, or with whom it was delivered to before."""
        return delivery.redelivered or delivery.tag <= self._waiting.get(delivery.queue, 0)

    async def publish(self, post: Post) -> None:
        """Hand *post* to the broker."""
        properties = spec.Basic.Properties(
            content_type="application/json",
            content_encoding="utf-8",
            headers=dict(post.headers),
            correlation_id=post.correlation_id,
            reply_to=post.reply_to,
            delivery_mode=2 if post.lasting else 1,
            priority=0,
        )
        channel = await self._out()
        await self._do(
            channel.basic_publish(
                post.body,
                exchange=post.exchange,
                routing_key=post.routing_key,
                properties=properties,
                mandatory=post.certain,
            )
        )

    async def purge(self, queue: str) -> None:
        """Drop what waits in a queue."""
        await self._do((await self._out()).queue_purge(queue))

    async def depth(self, queue: str) -> tuple[int, int] | None:
        """How many messages wait in a queue, and how many consume it."""
        async with self._turn:
            if self._looking is None or self._looking.is_closed:
                self._looking = await self._open()
            channel = self._looking
            try:
                with losses():
                    async with asyncio.timeout(ANSWER_S):
                        done = await channel.queue_declare(queue, passive=True)
            except LostError as error:
                self._looking = None
                await close_channel(channel)
                if isinstance(error.__cause__, ChannelNotFoundEntity):
                    return None
                raise UnavailableError(f"the other broker: {error}") from error
        return int(done.message_count or 0), int(done.consumer_count or 0)

    async def _out(self) -> AbstractChannel:
        """The channel on which we publish, a fresh one when the last has closed."""
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                self._channel = await self._open()
            return self._channel

    async def _open(self) -> AbstractChannel:
        if not self._publishing.connected:
            raise UnavailableError("the other broker cannot be reached")
        try:
            return await open_channel(await self._publishing.connection(), confirms=True)
        except LostError as error:
            raise UnavailableError(f"the other broker: {error}") from error

    async def _do(self, request: Awaitable[Any]) -> Any:
        """The broker's answer; after any other the channel is not used again."""
        channel = self._channel
        try:
            with losses():
                async with asyncio.timeout(ANSWER_S):
                    return await request
        except LostError as error:
            if channel is not None:
                self._channel = None if self._channel is channel else self._channel
                await close_channel(channel)
            raise UnavailableError(f"the other broker: {error}") from error

    async def _prepare(self, source: Source, connection: AbstractConnection) -> None:
        """Declare what its owners declare, as they do, and our queue."""
        channel = await open_channel(connection)
        try:
            with losses():
                async with asyncio.timeout(ANSWER_S):
                    await self._declare(source, channel)
        except LostError as error:
            words = str(error.__cause__)
            if "inequivalent arg" in words:
                raise TopologyError(explain(words)) from error
            raise
        finally:
            await close_channel(channel)

    async def _declare(self, source: Source, channel: AbstractChannel) -> None:
        await channel.exchange_declare(
            source.exchange, exchange_type=source.exchange_type, durable=source.durable_exchange
        )
        declared = await channel.queue_declare(
            source.queue,
            durable=not source.exclusive,
            exclusive=source.exclusive,
            arguments={"x-queue-type": "classic", **source.arguments},
        )
        for key in source.keys:
            await channel.queue_bind(source.queue, source.exchange, key)
        self._waiting[source.queue] = declared.message_count or 0
