"""What is heard of tasks: of ours it is reported, of all it is counted and kept to be shown.

Within a batch a task's events are put in the order of their worker's own count: on the wire an end may come before its
beginning.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import structlog

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.giving import Giving
from coordinator.gateways.celery.hearing import EVENTS, Gathered
from coordinator.gateways.celery.metrics import Metrics
from coordinator.gateways.celery.watching import Watching
from coordinator.gateways.celery.wire import TaskEvent, UnreadableError, decode, task_events
from coordinator.gateways.kit import Gate
from coordinator.operations.ports import Delivery, Guest, Source, WatchedTask
from coordinator.operations.requests import RefusedError, UnavailableError
from coordinator.operations.table import Report
from schemas.task import TaskFinished, TaskProgress, TaskStarted

log = structlog.get_logger(__name__)

ROUND_S: Final = 0.25
PAUSE_S: Final = 1.0
PREFETCH: Final = 5000
_REMEMBERED: Final = 20_000
ARGUMENTS: Final[dict[str, str | int]] = {
    "x-single-active-consumer": True,
    "x-max-length": 500_000,
    "x-overflow": "drop-head",
}


class Following:
    """Follows the tasks of one broker's workers."""

    def __init__(self, gate: Gate, guest: Guest, giving: Giving, place: tuple[str, str], metrics: Metrics) -> None:
        """*place*: realm, and what our queues begin with."""
        self._gate = gate
        self._guest = guest
        self._giving = giving
        self._realm, prefix = place
        self._tag = translate.tag_of(prefix)
        self._metrics = metrics
        self._gathered = Gathered()
        self.watching = Watching(self._realm, self._tag, metrics)
        #: Of ours, those whose end was heard: their beginning may come after it.
        self._ended: dict[tuple[int, int], None] = {}
        guest.consume(
            Source(f"{prefix}.celery.tasks", EVENTS, "topic", ("task.#",), ARGUMENTS), self._gathered.put, PREFETCH
        )

    async def run(self) -> None:
        """For ever, a round after the other."""
        while True:
            batch = await self._gathered.take()
            events = [event for delivery, _ in batch for event in self._events(delivery)]
            await self._report(events)
            await self._keep(self.watching.take(events))
            await self._guest.settle([delivery for delivery, _ in batch])
            await asyncio.sleep(ROUND_S)

    def _events(self, delivery: Delivery) -> Iterable[TaskEvent]:
        try:
            events, wrong = task_events(decode(delivery.body, delivery.content_type))
        except UnreadableError as error:
            self._metrics.unreadable.labels(error.reason).inc()
            return ()
        if wrong:
            self._metrics.unreadable.labels("malformed").inc(wrong)
        return events

    async def _keep(self, tasks: list[WatchedTask]) -> None:
        while tasks:
            try:
                await self._gate.watched.keep(translate.PROTOCOL, tasks)
            except UnavailableError:
                await asyncio.sleep(PAUSE_S)
            else:
                return

    async def _report(self, events: list[TaskEvent]) -> None:
        """Tell the farm what they say of attempts."""
        by_host: defaultdict[str, list[tuple[TaskEvent, tuple[int, int]]]] = defaultdict(list)
        for event in events:
            attempt = translate.attempt_of(self._tag, event.uuid)
            if attempt is not None and event.type != "task-sent":
                by_host[event.hostname].append((event, attempt))
        await asyncio.gather(*(self._tell(hostname, some) for hostname, some in by_host.items()))

    async def _tell(self, hostname: str, some: list[tuple[TaskEvent, tuple[int, int]]]) -> None:
        worker = translate.name_of(translate.foreign_id(self._realm, hostname))
        some.sort(key=lambda one: one[0].clock or 0)
        for event, (task, attempt) in some:
            if translate.is_end(event):
                self._note_end((task, attempt))
        reports: list[TaskStarted | TaskProgress | TaskFinished] = []
        for event, key in some:
            if key in self._ended and not translate.is_end(event):
                continue
            report = translate.report_of(event, *key, revoked=key in self._giving.revoked)
            if report is not None:
                reports.append(report)
            if event.traceback and translate.is_end(event):
                await self._note(worker, key, event.traceback)
        if reports:
            await self._ask(Report(worker, tuple(reports)))

    async def _note(self, worker: str, key: tuple[int, int], text: str) -> None:
        """Keep a traceback as the log; without it the error still says what was raised."""
        try:
            await self._gate.note(worker, *key, text)
        except UnavailableError as error:
            log.info("celery_log_lost", worker=worker, detail=str(error))

    def _note_end(self, key: tuple[int, int]) -> None:
        self._ended[key] = None
        while len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    async def _ask(self, report: Report) -> None:
        while True:
            try:
                await self._gate.ask(report)
            except UnavailableError:
                await asyncio.sleep(PAUSE_S)
            except RefusedError as refusal:
                log.info("celery_refused", worker=report.worker, detail=str(refusal))
                return
            else:
                return
