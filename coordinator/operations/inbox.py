"""The one inbox: whatever changes the farm is put here, with a future where somebody waits for the answer.

The writer takes all that has gathered; nobody waits for a batch to fill.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from coordinator.operations.ports import Delivery
from coordinator.operations.requests import Answer, Request


@dataclass(eq=False)
class Item:
    """Something to apply: a decoded message, a request, a duty. `delivery` is settled when it is committed."""

    event: Any
    delivery: Delivery | None = None
    answer: asyncio.Future[Any] | None = None
    #: The message that it came in, when that is to be parked if the farm refuses it. It also waits for the database
    #: however long that takes, although somebody would like an answer.
    origin: Delivery | None = None
    result: Any = field(default=None, repr=False)
    refusal: Exception | None = None

    @property
    def weight(self) -> int:
        """How many events it stands for."""
        return len(getattr(self.event, "events", "1"))


class Inbox:
    """A queue without a bound of its own: what comes from the broker is bounded by its prefetch, what comes by HTTP by
    the callers who wait."""

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._arrived = asyncio.Event()
        self._emptied = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, items: Sequence[Item]) -> None:
        """Add *items*, in order."""
        self._items.extend(items)
        self._arrived.set()

    def post(self, event: Any) -> None:
        """Add an event that nobody waits for."""
        self.put([Item(event)])

    def holds(self, kind: type) -> bool:
        """Whether an event of this kind is waiting."""
        return any(type(item.event) is kind for item in self._items)

    async def ask(self, request: Request[Answer]) -> Answer:
        """Have *request* applied; its answer when it is committed, or `RefusedError`."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self.put([Item(request, answer=answer)])
        return await answer

    async def take(self, most: int) -> list[Item]:
        """All that is there, of about *most* events; waits only while there is nothing."""
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        taken: list[Item] = []
        events = 0
        while self._items and events < most:
            taken.append(self._items.popleft())
            events += taken[-1].weight
        if not self._items:
            self._emptied.set()
        return taken

    def sift(self, keep: Callable[[Sequence[Item]], Sequence[Item]]) -> None:
        """Leave only those of the waiting items that *keep* gives back."""
        self._items = deque(keep(self._items))
        if not self._items:
            self._emptied.set()

    async def empty(self) -> None:
        """Wait until all was taken."""
        while self._items:
            self._emptied.clear()
            await self._emptied.wait()
