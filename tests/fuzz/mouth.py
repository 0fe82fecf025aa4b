"""All that a coordinator does with a message before it reaches the database, without any service.

Promises, of whatever bytes: it is read or refused, and nothing else happens; a refusal says why in words that can be
stored; what was read holds nothing that cannot be.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from coordinator.domain.attempt import Attempt
from coordinator.domain.worker import Worker
from coordinator.handlers.heartbeats import Heartbeats
from coordinator.handlers.identity import Identities
from coordinator.handlers.logs import Logs
from coordinator.handlers.routes import Receiver
from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.ports import Delivery
from coordinator.operations.records import Parking
from coordinator.operations.requests import SubmitJob
from coordinator.operations.store import Beat, LogChunk
from coordinator.operations.table import OPERATIONS
from coordinator.operations.wanted import Key, Wanted
from schemas import topology
from schemas.base import MAX_INT, Message
from schemas.envelope import FromWorker

Known = dict[str, tuple[Worker, dict[Key, Attempt]]]


class Paper:
    """Takes what would be written, and sent."""

    def __init__(self) -> None:
        self.written: list[Any] = []

    async def beat(self, beats: Sequence[Beat]) -> Known:
        """Keep *beats*; nobody is known."""
        self.written += beats
        return {}

    async def exclusive(self, _: Collection[int]) -> set[int]:
        """There are none."""
        return set()

    async def renew(self, _: Sequence[tuple[str, int, int]], __: float) -> list[tuple[str, int, int]]:
        """There are none."""
        return []

    async def log(self, chunks: Sequence[tuple[str, LogChunk]]) -> None:
        """Keep *chunks*."""
        self.written += chunks

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Nobody hears it."""

    def reply(self, queue: str, correlation_id: str | None, body: Message) -> None:
        """Nobody hears it."""


class Mouth:
    """Eats deliveries; `counted` says what became of them: by the reason for which they were refused, or `read`."""

    def __init__(self, user: str) -> None:
        self.counted: Counter[str] = Counter()
        self.events = self.unknown = 0
        self.inbox, self._paper = Inbox(), Paper()
        identities = Identities(user, self._left_out)
        self._receiver = Receiver(self.inbox, identities, self._paper)
        self._handlers = {
            topology.HEARTBEATS_QUEUE: Heartbeats(
                self._paper, self.inbox, identities, self._paper, lambda: 30.0
            ).handle,
            topology.LOGS_QUEUE: Logs(self._paper, self.inbox, identities).handle,
        }
        self._runner = asyncio.Runner()

    def close(self) -> None:
        """No more."""
        self._runner.close()

    def _left_out(self, events: int) -> None:
        self.unknown += events

    def eat(self, delivery: Delivery) -> list[Item]:
        """What *delivery* becomes, where no loop runs."""
        return self._runner.run(self.taste(delivery))

    async def taste(self, delivery: Delivery) -> list[Item]:
        """What *delivery* becomes, looked at closely."""
        items = await self._taste(delivery)
        for item in items:
            look_at(item)
        refused = [item.event.reason for item in items if isinstance(item.event, Parking)]
        assert not refused or len(items) == 1
        self.counted[refused[0] if refused else "read"] += 1
        return items

    async def _taste(self, delivery: Delivery) -> list[Item]:
        handle = self._handlers.get(delivery.queue)
        done: Sequence[Delivery] = []
        if handle is None:
            self._receiver.receive([delivery])
        else:
            done = await handle([delivery])
            for one in self._paper.written:
                assert_storable(one if isinstance(one, tuple) else vars(one))
            self._paper.written.clear()
        items = await self.inbox.take(10**6) if len(self.inbox) else []
        settled = len(done) + sum(item.delivery is delivery for item in items)
        assert settled == 1, f"settled {settled} times"
        return items


def look_at(item: Item) -> None:
    """Raise `AssertionError` unless *item* can be applied and stored, as far as its form goes."""
    match item.event:
        case Parking(_, reason, field, detail):
            assert item.delivery is not None
            assert len(field) <= 200
            assert 0 < len(detail) <= 1000
            assert "\n" not in detail
            assert_storable((reason, field, detail))
        case FromWorker() as message:
            assert_storable(message.model_dump())
            OPERATIONS[FromWorker].want(Wanted(), message)
        case SubmitJob(spec):
            assert_storable(spec.model_dump())


def assert_storable(value: Any) -> None:
    """Raise `AssertionError` when *value* holds what Postgres cannot."""
    match value:
        case str():
            assert "\x00" not in value
            value.encode()
        case bool() | None:
            pass
        case int():
            assert -MAX_INT - 1 <= value <= MAX_INT
        case float():
            assert math.isfinite(value)
        case dict():
            for key, one in value.items():
                assert_storable(key)
                assert_storable(one)
        case list() | tuple():
            for one in value:
                assert_storable(one)
