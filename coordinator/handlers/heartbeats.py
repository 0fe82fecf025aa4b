"""Heartbeats: written without the lock, compared with the rows; only a difference becomes an event in the inbox."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from coordinator.domain.attempt import Attempt
from coordinator.domain.reconcile import compare
from coordinator.domain.worker import Connection, Duty, Worker, is_outstanding
from coordinator.handlers.events import parked
from coordinator.handlers.identity import Identities
from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.ledger import Key
from coordinator.operations.ports import Courier, Delivery
from coordinator.operations.store import Beat
from coordinator.operations.workers import is_current, runs
from schemas.base import UndecodableError
from schemas.catalog import refuse_misplaced
from schemas.envelope import FromWorker, decode_from_worker
from schemas.topology import is_canary
from schemas.worker import BeatAck, WorkerHeartbeat

#: Every which heartbeat is acknowledged.
ACKNOWLEDGE_EVERY: Final = 3


class Ear(Protocol):
    """Where heartbeats are written."""

    async def beat(self, beats: Sequence[Beat]) -> dict[str, tuple[Worker, dict[Key, Attempt]]]:
        """Write *beats*; the known senders as the rows have them, with what they hold."""


class Heartbeats:
    """Handles batches of heartbeats."""

    def __init__(
        self, ear: Ear, inbox: Inbox, identities: Identities, courier: Courier, lease_s: Callable[[], float]
    ) -> None:
        self._ear = ear
        self._inbox = inbox
        self._identities = identities
        self._courier = courier
        self._lease_s = lease_s

    async def handle(self, deliveries: Sequence[Delivery]) -> Sequence[Delivery]:
        """Write the newest beat of each worker; put what differs into the inbox."""
        newest, readable = self._newest(deliveries)
        if not newest:
            return readable
        known = await self._ear.beat([_beat(message, event) for message, event in newest.values()])
        for message, event in newest.values():
            if _differs(message, event, known.get(message.worker)):
                self._inbox.put([Item(message)])
            elif message.seq % ACKNOWLEDGE_EVERY == 0:
                ack = BeatAck(seq=message.seq, lease_s=self._lease_s())
                self._courier.send(message.worker, message.epoch, [ack])
        return readable

    def _newest(
        self, deliveries: Sequence[Delivery]
    ) -> tuple[Mapping[str, tuple[FromWorker, WorkerHeartbeat]], list[Delivery]]:
        """The newest beat of each worker, and the deliveries that could be read."""
        readable = []
        newest: dict[str, tuple[FromWorker, WorkerHeartbeat]] = {}
        for delivery in deliveries:
            if is_canary(delivery.routing_key):
                readable.append(delivery)
                continue
            try:
                message, _unknown = decode_from_worker(delivery.body)
                self._identities.check(delivery, message.worker, worker=True)
                refuse_misplaced(delivery.queue, message)
            except UndecodableError as error:
                self._inbox.put([parked(delivery, error)])
                continue
            readable.append(delivery)
            for event in message.events:
                if isinstance(event, WorkerHeartbeat):
                    before = newest.get(message.worker)
                    if before is None or before[0].instance != message.instance or before[0].seq < message.seq:
                        newest[message.worker] = (message, event)
        return newest, readable


def _beat(message: FromWorker, event: WorkerHeartbeat) -> Beat:
    return Beat(
        worker=message.worker,
        epoch=message.epoch,
        seq=message.seq,
        stats=event.stats.model_dump(mode="json", exclude_none=True) if event.stats else None,
        open_sessions=event.open_sessions,
        last_activity_at=event.last_activity_at,
    )


def _differs(message: FromWorker, event: WorkerHeartbeat, known: tuple[Worker, dict[Key, Attempt]] | None) -> bool:
    """Whether the writer should have a look (it compares again, under the lock)."""
    if known is None:
        return True
    worker, held = known
    if not is_current(worker, message.instance, message.epoch) or worker.connection is Connection.SUSPECT:
        return True
    if worker.duty.value != event.duty.value:
        return True
    if is_outstanding(worker, Duty(event.duty), runs=runs(event.holds)):
        return True
    return bool(compare(held, [(one.task, one.attempt, one.phase) for one in event.holds], message.seq))
