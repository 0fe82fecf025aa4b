"""Batches for what needs no lock: all that has arrived is handled at once, then settled.

A batch that fails is halved until the guilty message stands alone; that one goes into the inbox, to be parked.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from coordinator.handlers.events import parked
from coordinator.operations.inbox import Inbox
from coordinator.operations.ports import Delivery, Intake
from coordinator.operations.store import BadBatchError, StoreUnavailableError
from schemas.base import UndecodableError

log = structlog.get_logger(__name__)

MOST: Final = 1000
PAUSE_S: Final = 1.0


class Gatherer:
    """A sink whose content is handled in batches. On the database's trouble the batch waits; nothing is nacked."""

    def __init__(self, handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Delivery]]], inbox: Inbox) -> None:
        self._handle = handle
        self._inbox = inbox
        self._waiting: deque[Delivery] = deque()
        self._arrived = asyncio.Event()

    def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Add *deliveries*."""
        self._waiting.extend(deliveries)
        self._arrived.set()

    async def run(self, intake: Intake) -> None:
        """Handle and settle, for ever."""
        while True:
            while not self._waiting:
                self._arrived.clear()
                await self._arrived.wait()
            batch = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            await intake.settle(await self._try(batch))

    async def _try(self, batch: Sequence[Delivery]) -> Sequence[Delivery]:
        """Those that are dealt with; the others are with the writer, which settles them."""
        while True:
            try:
                return await self._handle(batch)
            except StoreUnavailableError:
                await asyncio.sleep(PAUSE_S)
            except Exception as error:  # noqa: BLE001  (whatever it is, the others must go on)
                if len(batch) == 1:
                    return self._park(batch[0], error)
                middle = len(batch) // 2
                return [*await self._try(batch[:middle]), *await self._try(batch[middle:])]

    def _park(self, delivery: Delivery, error: Exception) -> Sequence[Delivery]:
        """The writer keeps it, and settles it then."""
        detail = error.detail if isinstance(error, BadBatchError) else f"{type(error).__name__}: {error}"
        log.warning("message_parked", reason="refused-by-database", queue=delivery.queue, detail=detail)
        self._inbox.put([parked(delivery, UndecodableError("refused-by-database", "", detail))])
        return ()
