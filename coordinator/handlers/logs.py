"""Log chunks: stored once each, from attempts' own workers; a queue of their own, so that a flood delays nothing."""

from collections.abc import Sequence
from typing import Protocol

from coordinator.handlers.events import parked
from coordinator.handlers.identity import Identities
from coordinator.operations.inbox import Inbox
from coordinator.operations.ports import Delivery
from coordinator.operations.store import LogChunk
from schemas.base import UndecodableError
from schemas.task import TaskLog
from schemas.topology import is_canary


class LogStore(Protocol):
    """Where log chunks are written."""

    async def log(self, chunks: Sequence[tuple[str, LogChunk]]) -> None:
        """Store (worker, chunk) pairs."""


class Logs:
    """Handles batches of log messages."""

    def __init__(self, store: LogStore, inbox: Inbox, identities: Identities) -> None:
        self._store = store
        self._inbox = inbox
        self._identities = identities

    async def handle(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Store all chunks in *deliveries*."""
        chunks: list[tuple[str, LogChunk]] = []
        readable = []
        for delivery in deliveries:
            if is_canary(delivery.routing_key):
                readable.append(delivery)
                continue
            try:
                message = self._identities.read(delivery)
            except UndecodableError as error:
                self._inbox.put([parked(delivery, error)])
                continue
            readable.append(delivery)
            chunks.extend(
                (message.worker, LogChunk(event.day, event.task, event.attempt, event.chunk, event.text))
                for event in message.events
                if isinstance(event, TaskLog)
            )
        if chunks:
            await self._store.log(chunks)
        return readable
