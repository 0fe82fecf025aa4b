"""The broker's own word on connections, turned into events.

A closing may be read before the `worker.online` that it belongs to, which comes by another queue: so the names of
closed connections are remembered, and who says that it is online on one of them is not believed.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, TypeVar

from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.judging import (
    ConnectionClosed,
    ConnectionMade,
    CoordinatorClosed,
    JudgeSilence,
    Silence,
)
from schemas.envelope import FromWorker
from schemas.topology import CONNECTION_CLOSED, CONNECTION_CREATED, consumer_of, is_coordinator
from schemas.worker import WorkerOnline

Name = TypeVar("Name")

#: So many closed connections are remembered.
REMEMBERED: Final = 10_000
#: Graces that end within so many seconds of one another are judged together.
TOGETHER_S: Final = 0.005
#: Seconds after which a word that the database could not take is said again.
AGAIN_S: Final = 1.0


class Closings:
    """Puts what the broker says of connections into the inbox, and has it judged when the grace is over.

    *own* are the names of this coordinator's connections: it knows of their end itself.
    """

    def __init__(self, inbox: Inbox, patience: Silence, own: Callable[[], str]) -> None:
        self._inbox = inbox
        self._patience = patience
        self._own = own
        self._closed: OrderedDict[str, None] = OrderedDict()
        #: Instances whose connection closed: only of those it matters that they make another.
        self._missed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._judged_at = 0.0

    def hear(self, event: str, connection: str) -> None:
        """The broker's *event* about a connection."""
        consumer = consumer_of(connection)
        if event == CONNECTION_CLOSED and consumer is not None:
            _remember(self._closed, connection)
            _remember(self._missed, consumer)
            self._tell(consumer[0], connection)
        elif event == CONNECTION_CREATED and consumer is not None and consumer in self._missed:
            del self._missed[consumer]
            self._inbox.post(ConnectionMade(*consumer))
        elif event == CONNECTION_CLOSED and is_coordinator(connection) and connection != self._own():
            self._inbox.post(CoordinatorClosed(connection))

    def living(self, item: Item) -> Item:
        """*item* without the word of an agent that it is online on a connection which has closed: it is dead, or says
        so again on the next one. Such a word may be very old, when the broker delivers it a second time."""
        message = item.event
        if self._closed and isinstance(message, FromWorker) and any(map(self._is_ghost, message.events)):
            events = [event for event in message.events if not self._is_ghost(event)]
            item.event = message.model_copy(update={"events": events})
        return item

    def _is_ghost(self, event: object) -> bool:
        return isinstance(event, WorkerOnline) and event.connection in self._closed

    def _tell(self, worker: str, connection: str) -> None:
        self._inbox.put([self._item(worker, connection)])

    def _item(self, worker: str, connection: str) -> Item:
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        told.add_done_callback(lambda done: self._told(done, worker, connection))
        return Item(ConnectionClosed(worker, connection, self._patience), answer=told)

    def _told(self, done: "asyncio.Future[None]", worker: str, connection: str) -> None:
        """It is committed: judge when the grace is over."""
        if done.cancelled():
            return
        loop = asyncio.get_running_loop()
        if done.exception() is not None:
            loop.call_later(AGAIN_S, self._tell, worker, connection)
            return
        grace_s = self._patience.reconnect_grace_s
        if grace_s == 0 or loop.time() + grace_s <= self._judged_at:
            return
        self._judged_at = loop.time() + grace_s + TOGETHER_S
        loop.call_at(self._judged_at, self._judge)

    def _judge(self) -> None:
        if not self._inbox.holds(JudgeSilence):
            self._inbox.post(JudgeSilence(self._patience))


def _remember(memory: OrderedDict[Name, None], name: Name) -> None:
    memory[name] = None
    memory.move_to_end(name)
    if len(memory) > REMEMBERED:
        memory.popitem(last=False)
