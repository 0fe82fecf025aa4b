"""Channels of aiormq, the layer inside aio-pika: two thirds of the cost per message, and nothing of each left behind.

(The outer layer keeps a reference to every channel until its connection ends.)
"""

import asyncio
from typing import Final

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel

from coordinator.transport.connection import CLOSE_S, losses, quietly, underlay

#: How long one request and its answer may take.
ANSWER_S: Final = 10.0
#: Frames that wait between the connection's reader and the channel's (a message is three).
FRAMES: Final = 300


async def open_channel(connection: AbstractConnection, *, confirms: bool = False) -> AbstractChannel:
    """A fresh channel on *connection*, or `LostError`. With *confirms*, what is returned raises `PublishError`."""
    with losses():
        async with asyncio.timeout(ANSWER_S):
            return await underlay(connection).channel(
                publisher_confirms=confirms, on_return_raises=confirms, frame_buffer_size=FRAMES
            )


async def close_channel(channel: AbstractChannel) -> None:
    """Close *channel* if it is open; whatever happens, it is not used again."""
    with quietly():
        async with asyncio.timeout(CLOSE_S):
            await channel.close()
