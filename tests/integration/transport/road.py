"""What the tests of the road share: a sink that can be waited for, and the other side of the broker."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aio_pika
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq import spec
from aiormq.abc import AbstractChannel

from coordinator.operations.ports import Delivery
from coordinator.transport import Broker
from schemas.topology import EVENTS_EXCHANGE

#: How long a test waits for what must happen.
SOON_S = 60.0


class Inbox:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.deliveries: list[Delivery] = []
        self._arrived = asyncio.Event()

    def __call__(self, deliveries: Sequence[Delivery]) -> None:
        self.deliveries += deliveries
        self._arrived.set()

    @property
    def bodies(self) -> list[bytes]:
        return [delivery.body for delivery in self.deliveries]

    async def until(self, enough: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not enough():
                self._arrived.clear()
                await self._arrived.wait()

    async def take(self, count: int) -> list[Delivery]:
        """The next *count* deliveries, when there are so many; they are removed."""
        await self.until(lambda: len(self.deliveries) >= count)
        taken, self.deliveries = self.deliveries[:count], self.deliveries[count:]
        return taken


@asynccontextmanager
async def running(broker: Broker) -> AsyncIterator[Broker]:
    """*broker* opened and running; closed afterwards, and its run ended without an error."""
    await broker.open()
    run = asyncio.create_task(broker.run())
    try:
        yield broker
    finally:
        await broker.close()
        async with asyncio.timeout(SOON_S):
            await run


class OtherSide:
    """Another client of the same virtual host."""

    def __init__(self, connection: aio_pika.abc.AbstractConnection) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def connected(cls, url: str) -> AsyncIterator[Self]:
        async with await aio_pika.connect(url) as connection:
            yield cls(connection)

    async def channel(self, *, confirms: bool = True) -> AbstractChannel:
        channel = await self._connection.channel(publisher_confirms=confirms)
        return await channel.get_underlay_channel()

    async def publish(self, routing_key: str, *bodies: bytes) -> None:
        """Publish *bodies* to the events exchange; returns when all are confirmed."""
        channel = await self.channel()
        send = spec.Basic.Properties(delivery_mode=2)
        for start in range(0, len(bodies), 200):
            await asyncio.gather(
                *(
                    channel.basic_publish(
                        body, exchange=EVENTS_EXCHANGE, routing_key=routing_key, properties=send, mandatory=True
                    )
                    for body in bodies[start : start + 200]
                )
            )
        await channel.close()

    async def ready(self, queue: str) -> int | None:
        """How many messages of *queue* are ready for delivery; None when there is no such queue."""
        try:
            channel = await self.channel(confirms=False)
            answer = await channel.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            return None
        await channel.close()
        return answer.message_count

    async def holds(self, queue: str, count: int) -> None:
        """Wait until so many messages of *queue* are ready: what a consumer held comes back when it has gone."""
        async with asyncio.timeout(SOON_S):
            while await self.ready(queue) != count:
                pass

    async def get(self, queue: str) -> aio_pika.abc.AbstractIncomingMessage:
        """The next message of *queue*, when there is one; taken from it."""
        async with asyncio.timeout(SOON_S), self._connection.channel() as channel:
            there = await channel.get_queue(queue)
            while (found := await there.get(fail=False)) is None:
                pass
            await found.ack()
            return found

    async def delete(self, *queues: str) -> None:
        channel = await self.channel(confirms=False)
        for queue in queues:
            await channel.queue_delete(queue)
        await channel.close()

    async def declare(self, queue: str, **arguments: Any) -> None:
        channel = await self.channel(confirms=False)
        await channel.queue_declare(
            queue, durable=True, arguments={name.replace("_", "-"): value for name, value in arguments.items()}
        )
        await channel.close()
