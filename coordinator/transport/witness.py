"""The broker's own word on connections: which were made, which have closed.

RabbitMQ tells it, when its plugin `rabbitmq_event_exchange` is on, in an exchange of one virtual host. Each coordinator
reads it from an exclusive queue of its own that is gone with its connection: what happened while nobody listened is
never read afterwards. The connection is apart from the others, because nothing depends on it: without the plugin, or
without the right to read it, deaths are noticed by silence, and it is tried again now and then.

That the exchange is there proves nothing: it outlives the plugin, and a plugin that was switched off and on has made
another one, to which nothing of ours is bound. So whoever listens makes a binding now and then, which the broker must
tell as it tells everything; `hears` is true from the first time that it did until one time that it did not.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlsplit, urlunsplit

import structlog
from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel, DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity

from coordinator.transport.backoff import Backoff
from coordinator.transport.channels import ANSWER_S, close_channel, open_channel
from coordinator.transport.connection import HEARTBEAT_S, SETTLED_S, BrokerRefusedError, Link, LostError, losses
from schemas.topology import (
    BINDING_CREATED,
    BROKER_EVENTS_EXCHANGE,
    CONNECTION_CLOSED,
    CONNECTION_CREATED,
    broker_events_queue,
)

#: So many events wait for us at most; of more, the oldest are dropped.
MOST: Final = 10_000
#: Seconds until it is tried again when the broker has no such exchange or we may not read it, and until it is made sure
#: again that it tells us.
AGAIN_S: Final = 30.0
#: What RabbitMQ 4.1 and newer put before the names of headers when they publish events as AMQP 1.0 annotations
#: (`event_exchange.protocol = amqp_1_0`); without that, 3.10 and all newer ones give the names alone.
_ANNOTATION: Final = "x-opt-"

log = structlog.get_logger(__name__)

#: Called with the event's name and the connection's.
Listener = Callable[[str, str], None]


class UntoldError(LostError):
    """The broker has the exchange and tells nothing there."""


def word_of(headers: Mapping[str, Any] | None, name: str) -> str | None:
    """What an event says under *name*, in either form; None when it does not, or no text.

    `client_properties` is no place to look for a connection's name: it is a list of Erlang terms, written as text.
    """
    for key in (name, _ANNOTATION + name):
        value = (headers or {}).get(key)
        if isinstance(value, str):
            return value
    return None


class Witness:
    """Listens while `run` runs, until `close`. `hears` tells whether it does just now, `problem` why not."""

    def __init__(
        self,
        url: str,
        vhost: str,
        *,
        coordinator: str,
        listener: Listener,
        heartbeat_s: int = HEARTBEAT_S,
        again_s: float = AGAIN_S,
    ) -> None:
        """Listen in virtual host *vhost*, as the user of *url*; *again_s* is between looks, and after a refusal."""
        self._url = urlunsplit(urlsplit(url)._replace(path="/" + quote(vhost, safe="")))
        self._coordinator = coordinator
        self._listener = listener
        self._heartbeat_s = heartbeat_s
        self._again_s = again_s
        self._expected = ""
        self._told = self._ended = False
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._link: Link | None = None
        self.problem = ""
        self.hears = False

    async def run(self) -> None:
        """Listen, whatever happens to the connection."""
        backoff = Backoff()
        while not self._closing.is_set():
            self._link = Link(
                self._url, coordinator=self._coordinator, purpose="broker-events", heartbeat_s=self._heartbeat_s
            )
            pause_s, born = self._again_s, time.monotonic()
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
        self._wake.set()
        if self._link is not None:
            self._link.begin_close()

    async def _listen(self, link: Link, connection: AbstractConnection) -> None:
        """Until the channel ends. Raises `LostError` when it cannot begin."""
        channel = await open_channel(connection)
        self._ended = False
        channel.closing.add_done_callback(lambda _: self._end())
        channel.on_consumer_cancel_callbacks.add(lambda _: self._end())
        queue = broker_events_queue(self._coordinator, link.name.rpartition(".")[2])
        try:
            with losses():
                async with asyncio.timeout(ANSWER_S):
                    await channel.queue_declare(
                        queue, exclusive=True, arguments={"x-queue-type": "classic", "x-max-length": MOST}
                    )
                    for key in (CONNECTION_CLOSED, CONNECTION_CREATED, BINDING_CREATED):
                        await channel.queue_bind(queue, BROKER_EVENTS_EXCHANGE, key)
                    await channel.basic_consume(queue, self._hear, no_ack=True)
            for number in itertools.count():
                await self._make_sure(channel, queue, f"{queue}.{number}")
                await self._until_over(self._again_s)
                if self._over:
                    return
        finally:
            self.hears = False
            await close_channel(channel)

    async def _make_sure(self, channel: AbstractChannel, queue: str, probe: str) -> None:
        """Do what the broker must tell us of. Raises `LostError` when it does not."""
        self._expected, self._told = probe, False
        with losses():
            async with asyncio.timeout(ANSWER_S):
                await channel.queue_bind(queue, BROKER_EVENTS_EXCHANGE, probe)
                await channel.queue_unbind(queue, BROKER_EVENTS_EXCHANGE, probe)
        await self._until_over(ANSWER_S, or_told=True)
        if not self._told and not self._over:
            raise UntoldError("its exchange is there and tells nothing: the plugin is off, or was for a while")
        if self._told and not self.hears:
            self.hears = True
            self.problem = ""
            log.info("hearing the broker's own word on connections")

    @property
    def _over(self) -> bool:
        return self._ended or self._closing.is_set()

    async def _until_over(self, seconds: float, *, or_told: bool = False) -> None:
        """Until the channel or we end, or what was expected is told, or so many seconds have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self._over and not (or_told and self._told):
                    self._wake.clear()
                    await self._wake.wait()

    def _end(self) -> None:
        self._ended = True
        self._wake.set()

    async def _hear(self, message: DeliveredMessage) -> None:
        frame, headers = message.delivery, message.header.properties.headers
        if not isinstance(frame, spec.Basic.Deliver):
            return
        event = frame.routing_key or ""
        if event == BINDING_CREATED:
            if word_of(headers, "routing_key") == self._expected:
                self._told = True
                self._wake.set()
        elif (name := word_of(headers, "user_provided_name")) is not None:
            self._listener(event, name)

    def _say(self, why: str) -> None:
        if why != self.problem:
            self.problem = why
            log.info("without the broker's own word on connections: deaths are noticed by silence", problem=why)


def _is_refusal(error: LostError) -> bool:
    """Whether trying again at once would not help: no such exchange, no right, no plugin."""
    return isinstance(error, UntoldError) or isinstance(error.__cause__, ChannelNotFoundEntity | ChannelAccessRefused)
