"""Requests that are more than one event: replaying a parked message puts its bytes through the same checks again."""

from collections.abc import Callable
from typing import Any, cast

from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.ledger import ParkedMessage, Parking
from coordinator.operations.ports import Delivery
from coordinator.operations.requests import Answer, Changed, ConflictError, ReplayParked, Request, RequeueFailed


class Desk:
    """Where people's requests arrive. *items* decodes a delivery as it is decoded when it comes from its queue."""

    def __init__(self, inbox: Inbox, items: Callable[[Delivery], list[Item]]) -> None:
        self._inbox = inbox
        self._items = items

    async def ask(self, request: Request[Answer]) -> Answer:
        """The answer to *request* when all of it is committed, or `RefusedError`."""
        if isinstance(request, ReplayParked):
            return cast("Answer", await self._replay(request))
        if isinstance(request, RequeueFailed):
            return cast("Answer", await self._requeue_all(request))
        return await self._inbox.ask(request)

    async def _replay(self, request: ReplayParked) -> Changed:
        message = cast("ParkedMessage", await self._inbox.ask(cast("Request[Any]", request)))
        items = self._items(message.delivery)
        for item in items:
            item.delivery = None  # it is not on a queue any more
        self._inbox.put(items)
        again = next((item.event for item in items if isinstance(item.event, Parking)), None)
        if again is not None:
            raise ConflictError(f"message {message.id} is refused again and parked anew: {again.detail}")
        return Changed(1)

    async def _requeue_all(self, request: RequeueFailed) -> Changed:
        done = await self._inbox.ask(request)
        total = done.count
        while done.continues:
            try:
                done = await self._inbox.ask(request)
            except ConflictError:
                break
            total += done.count
        return Changed(total)
