"""A line to somebody else's broker, for gateways whose protocol is AMQP: we consume, and own our queues there alone."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel

from coordinator.operations.ports import Delivery, Sink, Source
from coordinator.transport import lenient
from coordinator.transport.channels import ANSWER_S, close_channel, open_channel
from coordinator.transport.connection import HEARTBEAT_S, Link, LostError, losses, quiet_client
from coordinator.transport.consumer import Consumer
from coordinator.transport.declare import TopologyError, explain
from schemas.topology import Queue

#: Seconds until the consumer of a silent queue is built again.
IDLE_S: Final = 120.0


class GuestBroker:
    """What `operations.ports.Guest` asks for."""

    def __init__(self, url: str, purpose: str, *, coordinator: str, heartbeat_s: int = HEARTBEAT_S) -> None:
        """At the broker of *url*. `BrokerRefusedError` for a wrong one."""
        lenient.install()
        quiet_client()
        self._consuming = Link(
            url, coordinator=coordinator, purpose=f"{purpose}-in", heartbeat_s=heartbeat_s, patient=True
        )
        self._consumers: dict[str, Consumer] = {}
        #: Of each queue: how many messages waited in it when it was last declared.
        self._waiting: dict[str, int] = {}

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
                group.create_task(self._consuming.run())
                for consumer in self._consumers.values():
                    group.create_task(consumer.run())
        finally:
            await self._consuming.close()

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge *deliveries*, of whichever queue."""
        by_queue: dict[str, list[Delivery]] = {}
        for delivery in deliveries:
            by_queue.setdefault(delivery.queue, []).append(delivery)
        for queue, some in by_queue.items():
            await self._consumers[queue].settle(some)

    def had_waited(self, delivery: Delivery) -> bool:
        """Whether it lay in its queue when we began to consume."""
        return delivery.tag <= self._waiting.get(delivery.queue, 0)

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
        await channel.exchange_declare(source.exchange, exchange_type=source.exchange_type, durable=True)
        declared = await channel.queue_declare(
            source.queue,
            durable=True,
            arguments={"x-queue-type": "classic", **source.arguments},
        )
        for key in source.keys:
            await channel.queue_bind(source.queue, source.exchange, key)
        self._waiting[source.queue] = declared.message_count or 0
