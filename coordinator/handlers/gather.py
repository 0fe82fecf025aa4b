"""Batches for what needs no lock: all that has arrived is handled at once, then settled."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog

from coordinator.operations.ports import Delivery, Intake
from coordinator.operations.store import StoreUnavailableError

log = structlog.get_logger(__name__)

MOST: Final = 1000
PAUSE_S: Final = 1.0


class Gatherer:
    """A sink whose content is handled in batches. On the database's trouble the batch waits; nothing is nacked."""

    def __init__(self, handle: Callable[[Sequence[Delivery]], Awaitable[Sequence[Delivery]]]) -> None:
        self._handle = handle
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
            except Exception:
                if len(batch) == 1:
                    log.exception("delivery_dropped", queue=batch[0].queue)
                    return batch
                return [done for one in batch for done in await self._try([one])]
