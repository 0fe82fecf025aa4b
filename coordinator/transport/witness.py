"""The broker's own word on connections: which were made, which have closed.

RabbitMQ tells it, when its plugin `rabbitmq_event_exchange` is on, in an exchange of one virtual host. Each coordinator
reads it from an exclusive queue of its own that is gone with its connection: what happened while nobody listened is
never read afterwards. The connection is apart from the others, because nothing depends on it: without the plugin, or
without the right to read it, deaths are noticed by silence, and it is tried again now and then.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from coordinator.transport.backoff import Backoff
from coordinator.transport.channels import ANSWER_S, close_channel, open_channel
from coordinator.transport.connection import HEARTBEAT_S, SETTLED_S, BrokerRefusedError, Link, LostError, losses
from schemas.topology import (
    BROKER_EVENTS_EXCHANGE,
    CONNECTION_CLOSED,
    CONNECTION_CREATED,
    broker_events_queue,
)

#: So many events wait for us at most; of more, the oldest are dropped.
MOST: Final = 10_000
#: Seconds until it is tried again when the broker has no such exchange, or we may not read it.
AGAIN_S: Final = 60.0

log = structlog.get_logger(__name__)

#: Called with the event's name and the connection's.
Listener = Callable[[str, str], None]


class Witness:
    """Listens while `run` runs, until `close`. `hears` tells whether it does just now."""

    def __init__(
        self, url: str, vhost: str, *, coordinator: str, listener: Listener, heartbeat_s: int = HEARTBEAT_S
    ) -> None:
        """Listen in virtual host *vhost*, as the user of *url*."""
        self._url = urlunsplit(urlsplit(url)._replace(path="/" + quote(vhost, safe="")))
        self._coordinator = coordinator
        self._listener = listener
        self._heartbeat_s = heartbeat_s
        self._closing = asyncio.Event()
        self._link: Link | None = None
        self._said = ""
        self.hears = False

    async def run(self) -> None:
        """Listen, whatever happens to the connection."""
        backoff = Backoff()
        while not self._closing.is_set():
            self._link = Link(
                self._url, coordinator=self._coordinator, purpose="broker-events", heartbeat_s=self._heartbeat_s
            )
            pause_s, born = AGAIN_S, time.monotonic()
            try:
                await self._link.open()
                if self._closing.is_set():
                    return
                await self._listen(self._link, await self._link.connection())
                if time.monotonic() - born > SETTLED_S:
                    backoff.reset()
                pause_s = backoff.next_s()
            except BrokerRefusedError as error:
                self._say(str(error))
            except LostError as error:
                if _is_refusal(error):
                    self._say(str(error))
                else:
                    pause_s = backoff.next_s()
            finally:
                self.hears = False
                await self._link.close()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._closing.wait()

    def close(self) -> None:
        """Let `run` end."""
        self._closing.set()
        if self._link is not None:
            self._link.begin_close()

    async def _listen(self, link: Link, connection: AbstractConnection) -> None:
        """Until the channel ends. Raises `LostError` when it cannot begin."""
        channel = await open_channel(connection)
        ended = asyncio.Event()
        channel.closing.add_done_callback(lambda _: ended.set())
        channel.on_consumer_cancel_callbacks.add(lambda _: ended.set())
        queue = broker_events_queue(self._coordinator, link.name.rpartition(".")[2])
        try:
            with losses():
                async with asyncio.timeout(ANSWER_S):
                    await channel.queue_declare(
                        queue, exclusive=True, arguments={"x-queue-type": "classic", "x-max-length": MOST}
                    )
                    for key in (CONNECTION_CLOSED, CONNECTION_CREATED):
                        await channel.queue_bind(queue, BROKER_EVENTS_EXCHANGE, key)
                    await channel.basic_consume(queue, self._hear, no_ack=True)
            self.hears = True
            self._said = ""
            log.info("hearing the broker's own word on connections")
            closing = asyncio.create_task(self._closing.wait())
            ending = asyncio.create_task(ended.wait())
            try:
                await asyncio.wait({closing, ending}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                closing.cancel()
                ending.cancel()
        finally:
            self.hears = False
            await close_channel(channel)

    async def _hear(self, message: DeliveredMessage) -> None:
        frame, headers = message.delivery, message.header.properties.headers or {}
        name = headers.get("user_provided_name")
        if isinstance(frame, spec.Basic.Deliver) and isinstance(name, str):
            self._listener(frame.routing_key or "", name)

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.info("without the broker's own word on connections: deaths are noticed by silence", problem=why)


def _is_refusal(error: LostError) -> bool:
    """Whether the broker said no: no such exchange, no right."""
    return isinstance(error.__cause__, ChannelNotFoundEntity | ChannelAccessRefused)
