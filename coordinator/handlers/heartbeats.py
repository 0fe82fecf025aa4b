"""Heartbeats: written without the lock, compared with the rows; only a difference becomes an event in the inbox."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, Protocol

from coordinator.domain.attempt import Attempt
from coordinator.domain.reconcile import compare
from coordinator.domain.worker import Connection, Duty, Worker, is_outstanding
from coordinator.handlers.events import parked
from coordinator.handlers.identity import Identities
from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.ports import Courier, Delivery
from coordinator.operations.store import Beat
from coordinator.operations.wanted import Key
from coordinator.operations.workers import is_current, runs
from schemas.base import UndecodableError
from schemas.envelope import FromWorker
from schemas.task import AttemptRef, Phase
from schemas.topology import is_canary
from schemas.worker import BeatAck, WorkerHeartbeat

#: No worker is believed that it has been inactive for longer: the database's calendar has a beginning.
LONGEST_INACTIVE_S: Final = 100 * 365 * 86400.0
#: Every which heartbeat is acknowledged; of a worker that holds exclusive attempts each is.
ACKNOWLEDGE_EVERY: Final = 3


class Ear(Protocol):
    """Where heartbeats are written."""

    async def beat(self, beats: Sequence[Beat]) -> dict[str, tuple[Worker, dict[Key, Attempt]]]:
        """Write *beats*; the known senders as the rows have them, with what they hold."""

    async def exclusive(self, classes: Collection[int]) -> set[int]:
        """Those of *classes* whose tasks are exclusive."""

    async def renew(self, held: Sequence[tuple[str, int, int]], lease_s: float) -> list[tuple[str, int, int]]:
        """Renew the leases of these attempts (worker, task, attempt); those that still may run."""


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
        lease_s = self._lease_s()
        renewed = await self._renew(newest.values(), known, lease_s)
        for message, event in newest.values():
            leases = renewed.get(message.worker, [])
            differs = _differs(message, event, known.get(message.worker))
            if differs:
                self._inbox.put([Item(message)])
            if leases or (not differs and message.seq % ACKNOWLEDGE_EVERY == 0):
                ack = BeatAck(seq=message.seq, lease_s=lease_s, leases=leases)
                self._courier.send(message.worker, message.epoch, [ack])
        return readable

    async def _renew(
        self,
        beats: Iterable[tuple[FromWorker, WorkerHeartbeat]],
        known: Mapping[str, tuple[Worker, dict[Key, Attempt]]],
        lease_s: float,
    ) -> Mapping[str, list[AttemptRef]]:
        """Renew the leases of the exclusive attempts that these heartbeats list; the renewed ones of each worker."""
        exclusive = await self._ear.exclusive({one.class_id for _, held in known.values() for one in held.values()})
        if not exclusive:
            return {}
        listed = [
            (message.worker, held.task, held.attempt)
            for message, event in beats
            for worker, rows in [known.get(message.worker, (None, {}))]
            if is_current(worker, message.instance, message.epoch)
            for held in event.holds
            if held.phase in (Phase.RECEIVED, Phase.RUNNING)
            and (row := rows.get((held.task, held.attempt))) is not None
            and row.live
            and row.class_id in exclusive
        ]
        renewed: dict[str, list[AttemptRef]] = {}
        for worker, task, attempt in await self._ear.renew(listed, lease_s) if listed else ():
            renewed.setdefault(worker, []).append(AttemptRef(task=task, attempt=attempt))
        return renewed

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
                message = self._identities.read(delivery)
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
        inactive_s=min(max(0.0, (message.sent_at - event.last_activity_at).total_seconds()), LONGEST_INACTIVE_S)
        if event.last_activity_at is not None
        else None,
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
