"""The consuming connection: the worker's own queue, exclusively."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import aiormq
import structlog
from aiormq import spec
from aiormq.abc import AbstractChannel, AbstractConnection, DeliveredMessage

from schemas.topology import worker_queue
from worker_agent.transport.connection import (
    CONSUMING,
    Address,
    Connection,
    NotAdmittedError,
    declared,
    unasked_as_loss,
)

log = structlog.get_logger(__name__)

#: A consumption refused to us is asked for again so often.
IDENTITY_RETRY_S: Final = 1.0
#: After so much silence the consumer looks whether it still is one.
SILENCE_S: Final = 30.0
PREFETCH: Final = 100


class IdentityHeldError(Exception):
    """Another agent consumes our queue."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A body as it came, and the way to acknowledge it.

    *old*: it lay in the queue before we came, so it answers nothing that we have said.
    """

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
        self._connection = Connection(address, CONSUMING)
        self._on_message = on_message
        self._on_joined = on_joined
        self._channel: AbstractChannel | None = None
        self._heard_s = 0.0

    @property
    def connection(self) -> str:
        """The name of the connection that consumes."""
        return self._connection.name

    async def run(self) -> None:
        """For ever; raises `IdentityHeldError`, or as `Connection.supervise`."""
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
        channel, answer = await declared(raw, self._declare)
        old = answer.message_count or 0

        async def deliver(message: DeliveredMessage) -> None:
            self._heard_s = loop.time()
            if message.delivery_tag is not None:
                self._on_message(Delivered(message.body, message.delivery_tag, channel, message.delivery_tag <= old))

        async def cancelled(_: object) -> None:
            self._connection.lose()

        channel.on_consumer_cancel_callbacks.add(cancelled)
        await channel.basic_qos(prefetch_count=PREFETCH, timeout=10)
        await channel.basic_consume(self._queue.name, deliver, exclusive=True, timeout=10)
        channel.closing.add_done_callback(lambda _: self._connection.lose() if self._channel is channel else None)
        self._channel = channel
        self._heard_s = loop.time()

    async def _declare(self, channel: AbstractChannel, *, passive: bool) -> spec.Queue.DeclareOk:
        return await channel.queue_declare(
            self._queue.name, durable=True, arguments=dict(self._queue.arguments), passive=passive, timeout=10
        )

    async def _watch(self) -> None:
        """A consumer that hears nothing looks whether the queue is there and consumed; if not, it is built again."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SILENCE_S / 2)
            channel = self._channel
            if channel is None or channel.is_closed or loop.time() - self._heard_s < SILENCE_S:
                continue
            try:
                with unasked_as_loss():
                    alive = bool((await self._declare(channel, passive=True)).consumer_count)
            except Exception:  # noqa: BLE001 - whatever it is, the remedy is a new connection
                alive = False
            if not alive:
                log.warning("the consumer is gone; building it again")
                self._connection.lose()
