"""Carry out the topology: the exchanges, queues and bindings of `schemas.topology`, exactly as they are written there.

A queue that exists with other arguments cannot be changed and must not be used as if it were ours: that is a
`TopologyError`, which names queue and argument and says what to do.
"""

import asyncio
import re
from collections.abc import Awaitable, Iterable
from typing import Final

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed

from coordinator.transport.channels import ANSWER_S, close_channel, open_channel
from coordinator.transport.connection import LostError, losses
from schemas.topology import EVENTS_EXCHANGE, EXCHANGES, Queue

_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']*)' for (?P<kind>\w+) '(?P<name>[^']*)' "
    r"in vhost '(?P<vhost>[^']*)': (?P<rest>.*)"
)


class TopologyError(Exception):
    """What exists on the broker is not what we need, and only a person can change that. The message is one line."""


async def declare(connection: AbstractConnection, queues: Iterable[Queue]) -> None:
    """Declare the exchanges, *queues* and their bindings. `TopologyError` or `LostError` when that cannot be."""
    channel = await open_channel(connection)
    try:
        for exchange in EXCHANGES:
            await _ask(channel.exchange_declare(exchange.name, exchange_type=exchange.type, durable=True))
        for queue in queues:
            await declare_queue(channel, queue)
    finally:
        await close_channel(channel)


async def declare_queue(channel: AbstractChannel, queue: Queue) -> None:
    """Declare *queue* and its bindings on *channel*, which is closed by the broker when that is refused."""
    await _ask(channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments)))
    for key in queue.keys:
        await _ask(channel.queue_bind(queue.name, EVENTS_EXCHANGE, key))


async def _ask(request: Awaitable[object]) -> None:
    try:
        with losses():
            async with asyncio.timeout(ANSWER_S):
                await request
    except LostError as error:
        cause = error.__cause__
        if isinstance(cause, ChannelPreconditionFailed | ChannelAccessRefused | ChannelLockedResource):
            raise TopologyError(explain(str(cause))) from cause
        raise


def explain(words: str) -> str:
    """The broker's *words* of refusal as one line that says what to do."""
    found = _INEQUIVALENT.search(words)
    if found is None:
        return f"the broker refuses our queues: {words}"
    how = f" (rabbitmqctl delete_queue --vhost {found['vhost']} {found['name']})" if found["kind"] == "queue" else ""
    return (
        f"{found['kind']} {found['name']} exists with another {found['argument']} ({found['rest']}): "
        f"delete it once it is empty{how}, or give the farm a virtual host of its own"
    )
