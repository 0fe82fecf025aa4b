"""The one writer: takes all that is in the inbox, applies it in one transaction, and tells the world after the commit.

Under light load a batch is one event, with the latency of one commit; under heavy load it is hundreds: batches form by
themselves. A batch that fails for any reason but the database's own trouble is halved and run again until the guilty
event stands alone; a message is then parked with the database's words, and the others are applied. On the database's
trouble the batch is kept and tried again: messages wait unacknowledged, people are told after a while.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from coordinator.domain import liveness
from coordinator.operations import assignment, blocklist, claiming, health, jobs
from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.judging import Silence
from coordinator.operations.ledger import Ledger
from coordinator.operations.letters import Letter, compose
from coordinator.operations.ports import Delivery
from coordinator.operations.records import Parking
from coordinator.operations.requests import ConflictError, RefusedError, Submitted, UnavailableError
from coordinator.operations.roads import Roads
from coordinator.operations.store import BadBatchError, Store, StoreUnavailableError, Transaction
from coordinator.operations.submission import Draft
from coordinator.operations.table import OPERATIONS, CancelMore, GrowJob
from coordinator.operations.wanted import Wanted

log = structlog.get_logger(__name__)

#: Events that one transaction takes, about.
MOST_EVENTS: Final = 4000
#: Seconds that a person waits for the database before hearing that it is not there.
PATIENCE_OF_PEOPLE_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 2.0
#: A worker whose health is less is quarantined.
QUARANTINE_BELOW: Final = 0.3
#: Seconds that the end waits for what is under way.
DRAIN_S: Final = 5.0


class Observer(Protocol):
    """Who counts what was done."""

    def committed(self, ledger: Ledger, items: int, seconds: float) -> None:
        """A batch was applied."""


@dataclass
class Applied:
    """What a committed transaction leaves to be done."""

    ledger: Ledger
    letters: list[Letter]
    growing: set[int] = field(default_factory=set)
    canceling: set[int] = field(default_factory=set)


class Writer:
    """Applies the inbox to the store."""

    def __init__(
        self,
        inbox: Inbox,
        store: Store,
        roads: Roads,
        settle: Callable[[Sequence[Delivery]], Awaitable[None]],
        patience: Silence,
        observer: Observer,
        quarantine_below: float = QUARANTINE_BELOW,
    ) -> None:
        self._inbox = inbox
        self._store = store
        self._roads = roads
        self._settle = settle
        self._patience = patience
        self._observer = observer
        self._quarantine_below = quarantine_below
        self._busy = asyncio.Lock()
        self.healthy = True
        self._workers = 0

    @property
    def lease_s(self) -> float:
        """Seconds that a lease runs on a farm as large as this one was when it was last counted."""
        interval_s = liveness.heartbeat_interval_s(self._workers, self._patience.heartbeat_s)
        return liveness.lost_after_s(interval_s, self._patience.lost_after_s)

    async def run(self) -> None:
        """For ever; cancel it between or inside batches, nothing is lost: what is not committed is not settled."""
        while True:
            await self.step()

    async def step(self) -> None:
        """Apply what is in the inbox, about one transaction of it; waits while there is nothing."""
        items = await self._inbox.take(MOST_EVENTS)
        async with self._busy:
            await self._apply(items)

    async def drain(self) -> None:
        """Wait until the inbox is empty and its last batch committed (a few seconds at most)."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await self._inbox.empty()
                async with self._busy:
                    pass

    async def _apply(self, items: list[Item]) -> None:
        """Apply *items*, come what may."""
        began, pause_s = time.monotonic(), FIRST_PAUSE_S
        while items:
            try:
                applied = await self._transact(items)
            except StoreUnavailableError as error:
                if self.healthy:
                    log.warning("database_unavailable", detail=str(error), waiting=len(items) + len(self._inbox))
                self.healthy = False
                if time.monotonic() - began >= PATIENCE_OF_PEOPLE_S:
                    items = _disappoint(items)
                    self._inbox.sift(_disappoint)
                await asyncio.sleep(pause_s)
                pause_s = min(LONGEST_PAUSE_S, pause_s * 2)
            except Exception as error:  # noqa: BLE001  (whatever it is, the others must go on)
                await self._divide(items, error)
                return
            else:
                if not self.healthy:
                    log.info("database_available")
                self.healthy = True
                await self._conclude(items, applied)
                return

    async def _divide(self, items: list[Item], error: Exception) -> None:
        if len(items) > 1:
            middle = len(items) // 2
            await self._apply(items[:middle])
            await self._apply(items[middle:])
            return
        item = items[0]
        detail = error.detail if isinstance(error, BadBatchError) else f"{type(error).__name__}: {error}"
        if item.delivery is not None and not isinstance(item.event, Parking):
            log.warning("message_parked", reason="refused-by-database", detail=detail)
            parking = Parking(item.delivery, "refused-by-database", "", detail)
            await self._apply([Item(parking, delivery=item.delivery)])
        elif item.answer is not None:
            log.error("request_failed", request=type(item.event).__name__, exc_info=error)
            if not item.answer.done():
                refused = isinstance(error, BadBatchError)
                item.answer.set_exception(
                    ConflictError(f"the database refuses it: {detail}")
                    if refused
                    else UnavailableError(f"it could not be applied: {detail}")
                )
        else:
            log.error("event_failed", event_type=type(item.event).__name__, exc_info=error)

    async def _transact(self, items: Sequence[Item]) -> Applied:
        began = time.perf_counter()
        wanted = Wanted()
        for item in items:
            OPERATIONS[type(item.event)].want(wanted, item.event)
        async with self._store.transaction() as tx:
            ledger = await tx.load(wanted)
            self._workers = ledger.worker_count = ledger.worker_count or self._workers
            drafts = _run(items, ledger)
            growing = await tx.insert_jobs(ledger, drafts) if drafts else []
            if wanted.growing:
                growing += await tx.growing(ledger, wanted.growing)
            for one in growing:
                await tx.insert_tasks(jobs.grow(ledger, one))
            await blocklist.settle(tx, ledger)
            await _save(tx, ledger)
            if ledger.suspects and await health.judge(tx, ledger, self._quarantine_below):
                await _save(tx, ledger)
            if (ledger.work_appeared or ledger.capacity_at) and await assignment.assign(tx, ledger):
                await _save(tx, ledger)
            if ledger.foreign.asking:
                await claiming.hand_out(tx, ledger)
                await _save(tx, ledger)
            letters = await compose(tx, ledger, self._patience)
            await tx.finish(ledger)
        self._observer.committed(ledger, len(items), time.perf_counter() - began)
        return Applied(
            ledger,
            letters,
            {one.job.id for one in growing if one.job.expanded < one.job.total},
            {job for job, some in ledger.slices.items() if _is_canceling(ledger, job) and len(some) >= jobs.SLICE}
            | ledger.condemned
            | ledger.recurring.canceling,
        )

    async def _conclude(self, items: Sequence[Item], applied: Applied) -> None:
        """After the commit: tell the workers, answer who asked, acknowledge, and go on with what is left."""
        for letter in applied.letters:
            self._roads.send(letter)
        for item in items:
            _answer(item)
        self._inbox.put([Item(GrowJob(job)) for job in applied.growing])
        self._inbox.put([Item(CancelMore(job)) for job in applied.canceling])
        deliveries = [item.delivery for item in items if item.delivery is not None]
        if deliveries:
            await self._settle(deliveries)


def _run(items: Sequence[Item], ledger: Ledger) -> list[Draft]:
    """Apply each item; a refusal is an answer. The drafts of new jobs."""
    drafts: list[Draft] = []
    keys: dict[str, Draft] = {}
    for item in items:
        item.refusal = None
        try:
            item.result = OPERATIONS[type(item.event)].apply(ledger, item.event)
        except RefusedError as refusal:
            item.refusal = refusal
            if item.origin is not None:
                ledger.parkings.append(Parking(item.origin, "refused", "", str(refusal)))
            continue
        if isinstance(item.result, Draft):
            key = item.result.spec.key
            if key is not None and key in ledger.job_keys:
                job = ledger.jobs[ledger.job_keys[key]]
                item.result = Submitted(job.id, created=False, tasks=job.total)
            elif key is not None and key in keys:
                item.result = (keys[key],)
            else:
                drafts.append(item.result)
                if key is not None:
                    keys[key] = item.result
    return drafts + ledger.recurring.drafts


async def _save(tx: Transaction, ledger: Ledger) -> None:
    ledger.settle_jobs()
    await tx.save(ledger)


def _answer(item: Item) -> None:
    if item.answer is None or item.answer.done():
        return
    if item.refusal is not None:
        item.answer.set_exception(item.refusal)
        return
    result = item.result
    match result:
        case Draft(job=job) if job is not None:
            result = Submitted(job.id, created=True, tasks=job.total)
        case (Draft(job=job),) if job is not None:
            result = Submitted(job.id, created=False, tasks=job.total)
    item.answer.set_result(result)


def _is_canceling(ledger: Ledger, job_id: int) -> bool:
    job = ledger.jobs.get(job_id)
    return job is not None and job.cancel_requested_at is not None


def _disappoint(items: Sequence[Item]) -> list[Item]:
    """Tell the people who wait that the database is away; what nobody waits for is kept."""
    kept = []
    for item in items:
        if item.answer is None or item.origin is not None:
            kept.append(item)
        elif not item.answer.done():
            item.answer.set_exception(
                UnavailableError("the database is not available; nothing is known to have changed: try again")
            )
    return kept
