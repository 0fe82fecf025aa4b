"""Celery's own tasks: counted and timed for `/metrics`, and folded to what is kept of each, once a batch.

The state is the newest word of a worker; of one batch the words are put in their order first.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Final

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.metrics import Metrics
from coordinator.gateways.celery.wire import TaskEvent
from coordinator.operations.ports import WatchedTask

_REMEMBERED: Final = 50_000
_TEXT: Final = 1024
#: What an event says of its task's state; `task-cancelled` (Celery 5.1): it waits again.
STATES: Final = {
    "task-sent": "sent",
    "task-received": "received",
    "task-started": "started",
    "task-retried": "retry",
    "task-cancelled": "retry",
    "task-succeeded": "succeeded",
    "task-failed": "failed",
    "task-revoked": "revoked",
    "task-rejected": "rejected",
}
ENDS: Final = frozenset({"succeeded", "failed", "revoked", "rejected"})


@dataclass(slots=True)
class _Known:
    name: str = ""
    sent: float | None = None
    received: float | None = None


class Watching:
    """What is known of tasks that have not ended, as far as it is needed to time them."""

    def __init__(self, realm: str, tag: int, metrics: Metrics) -> None:
        """*tag*: by which tasks of ours are told from others."""
        self._realm = realm
        self._tag = tag
        self._metrics = metrics
        self._known: OrderedDict[str, _Known] = OrderedDict()
        #: Of each node: what it has and has not begun, and how often it said what.
        self.prefetched: defaultdict[str, set[str]] = defaultdict(set)
        self.told: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def forget(self, hostname: str) -> None:
        """A worker is gone."""
        self.prefetched.pop(hostname, None)
        self.told.pop(hostname, None)

    def take(self, events: Iterable[TaskEvent]) -> list[WatchedTask]:
        """What *events* say of each task that is not ours; of all they are counted."""
        told: dict[str, WatchedTask] = {}
        for event in sorted(events, key=_order):
            self._count(event)
            one = self._read(event)
            if one is not None:
                told[event.uuid] = _joined(told[event.uuid], one) if event.uuid in told else one
        return list(told.values())

    def _count(self, event: TaskEvent) -> None:
        known = self._known.get(event.uuid)
        if known is None:
            known = self._known[event.uuid] = _Known()
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        known.name = event.name or known.name
        self._metrics.heard(event.type, known.name)
        if event.type == "task-sent":
            known.sent = event.timestamp
            return
        self.told[event.hostname][event.type] += 1
        held, label = self.prefetched[event.hostname], self._metrics.name(known.name)
        if event.type == "task-received":
            known.received = event.timestamp
            held.add(event.uuid)
            if known.sent is not None and event.timestamp is not None:
                self._metrics.wait.labels(label).observe(max(event.timestamp - known.sent, 0))
            return
        held.discard(event.uuid)
        if event.type == "task-started" and known.received is not None and event.timestamp is not None:
            self._metrics.prefetch.labels(label).observe(max(event.timestamp - known.received, 0))
        if event.runtime is not None:
            self._metrics.runtime.labels(label).observe(event.runtime)
        if STATES.get(event.type) in ENDS:
            self._known.pop(event.uuid, None)

    def _read(self, event: TaskEvent) -> WatchedTask | None:
        state = STATES.get(event.type)
        if state is None or event.timestamp is None or translate.attempt_of(self._tag, event.uuid) is not None:
            return None
        at = datetime.fromtimestamp(event.timestamp, UTC)
        sent = state == "sent"
        if event.requeue:
            state = "retry"
        return WatchedTask(
            foreign_id=translate.foreign_id(self._realm, event.uuid),
            state=state,
            told_at=at,
            name=event.name,
            worker=None if sent else translate.name_of(translate.foreign_id(self._realm, event.hostname)),
            queue=event.queue,
            args=event.args and event.args[:_TEXT],
            kwargs=event.keywords and event.keywords[:_TEXT],
            retries=event.retries,
            sent_at=at if sent else None,
            received_at=at if state == "received" else None,
            started_at=at if state == "started" else None,
            ended_at=at if state in ENDS else None,
            run_s=event.runtime,
            result=event.result and event.result[:_TEXT],
            error=event.exception and event.exception[:_TEXT],
        )


def _order(event: TaskEvent) -> tuple[bool, float, int]:
    return event.type != "task-sent", event.timestamp or 0, event.clock or 0


def _joined(before: WatchedTask, after: WatchedTask) -> WatchedTask:
    """Both, *after* being the newer."""
    kept = {
        one.name: getattr(before, one.name)
        for one in fields(WatchedTask)
        if one.name != "ended_at" and getattr(after, one.name) is None
    }
    return replace(after, **kept)
