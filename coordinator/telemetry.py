"""What the coordinator tells about itself: metrics with names of one style, and structured logs.

Metrics live in a registry of our own. Counters and histograms are fed where things happen; gauges of the farm are read
from the database when somebody scrapes, so that they are true and that several coordinators agree. Labels are few: a
queue beyond the fiftieth is counted as `_other`, workers, jobs and tasks are never labels.
"""

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import structlog
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from structlog.typing import Processor

from schemas.envelope import VERSION
from schemas.task import Verdict
from schemas.views import Connection, GuardState, Numbers, QueueView

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_MOST_QUEUES: Final = 50
_OTHER: Final = "_other"
_SHORT: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SIZES: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
_OUTCOMES: Final = ("completed", "failed", "canceled", "interrupted", "lost", "revoked", "superseded")
_UNFINISHED_JOBS: Final = ("active", "canceling")
_UNFINISHED_TASKS: Final = ("blocked", "scheduled", "paused", "ready", "assigned", "running")


class Telemetry:
    """The metrics of one coordinator. `numbers` holds the farm's gauges as last read (None: they are left out)."""

    def __init__(self, version: str) -> None:
        """Metrics at zero, for a coordinator of this *version*."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        self._queues: set[str] = set()
        build = Gauge("farmhand_build_info", "This coordinator.", ["version", "protocol"], registry=registry)
        build.labels(version, str(VERSION)).set(1)
        self.tasks_submitted = Counter(
            "farmhand_tasks_submitted", "Tasks of accepted submissions.", ["queue"], registry=registry
        )
        self.attempts_assigned = Counter(
            "farmhand_attempts_assigned", "Attempts given to a worker.", ["queue"], registry=registry
        )
        self.attempts_finished = Counter(
            "farmhand_attempts_finished", "Attempts that ended.", ["outcome"], registry=registry
        )
        self.idle_workers = Counter(
            "farmhand_idle_workers", "What was done about idle workers.", ["action"], registry=registry
        )
        self.workers_lost = Counter("farmhand_lost_workers", "Workers given up.", ["by"], registry=registry)
        self.expiry_changes = Counter(
            "farmhand_expiry_changes", "Freezes and thaws of losses.", ["guard"], registry=registry
        )
        self.verdicts = Counter("farmhand_verdicts", "Verdicts sent.", ["verdict"], registry=registry)
        self.events = Counter("farmhand_events", "Events from workers.", ["type", "result"], registry=registry)
        self.unknown_events = Counter(
            "farmhand_unknown_events", "Events of a type that this release does not know, left out.", registry=registry
        )
        self.batch_messages = Histogram(
            "farmhand_batch_messages", "Messages in one transaction.", ["queue"], buckets=_SIZES, registry=registry
        )
        self.transaction_seconds = Histogram(
            "farmhand_transaction_seconds", "One transaction.", ["operation"], buckets=_SHORT, registry=registry
        )
        self.publishes = Counter("farmhand_publishes", "Messages sent.", ["exchange", "result"], registry=registry)
        self.broker_connected = Gauge(
            "farmhand_broker_connected", "1 while connected to the broker.", ["role"], registry=registry
        )
        for action in ("notify", "stop", "refused"):
            self.idle_workers.labels(action)
        for sign in ("silent", "abandoned"):
            self.workers_lost.labels(sign)
        for guard in ("calm", "frozen", "limited", "opened"):
            self.expiry_changes.labels(guard)
        for outcome in _OUTCOMES:
            self.attempts_finished.labels(outcome)
        for verdict in Verdict:
            self.verdicts.labels(verdict.value)
        for role in ("consume", "publish"):
            self.broker_connected.labels(role).set(0)

    def queue(self, name: str) -> str:
        """*name* as a label: one of the first fifty that were seen, or `_other`."""
        if name not in self._queues:
            if len(self._queues) >= _MOST_QUEUES:
                return _OTHER
            self._queues.add(name)
        return name

    def expose(self, numbers: Numbers | None) -> bytes:
        """All metrics as text; without *numbers* (the database is away) those of the farm are left out."""
        own = generate_latest(self.registry)
        if numbers is None:
            return own
        farm = CollectorRegistry()
        farm.register(_Collected(list(self._farm(numbers))))
        return own + generate_latest(farm)

    def _farm(self, numbers: Numbers) -> Iterator[Metric]:
        workers = GaugeMetricFamily("farmhand_workers", "Workers.", labels=["connection", "duty", "protocol"])
        slots: dict[tuple[str, str], int] = {}
        for row in numbers.workers:
            workers.add_metric([row.connection, row.duty, row.protocol], row.workers)
            there = row.connection == Connection.ONLINE and row.duty == "awake"
            rest = "free" if there else "unavailable"
            slots["used", row.protocol] = slots.get(("used", row.protocol), 0) + row.used
            slots[rest, row.protocol] = slots.get((rest, row.protocol), 0) + row.slots - row.used
        yield workers
        yield _family("farmhand_worker_slots", "Slots of workers.", ["use", "protocol"], slots.items())
        jobs = {(state,): numbers.jobs.get(state, 0) for state in _UNFINISHED_JOBS}
        yield _family("farmhand_jobs", "Jobs that are not finished.", ["state"], jobs.items())
        tasks: dict[tuple[str, str], int] = {}
        for queue, counts in sorted(numbers.tasks.items()):
            for state in _UNFINISHED_TASKS:
                key = state, self.queue(queue)
                tasks[key] = tasks.get(key, 0) + counts.get(state, 0)
        yield _family("farmhand_tasks", "Tasks that are not finished.", ["state", "queue"], tasks.items())
        yield self._oldest(numbers.queues)
        parked = {(reason,): count for reason, count in numbers.parked.items()}
        freezes = {(guard.value,): numbers.freezes.get(guard.value, 0) for guard in GuardState}
        yield _family("farmhand_expiry_freezes", "Zones with losses held back.", ["guard"], freezes.items())
        yield _family("farmhand_parked_messages", "Messages put aside.", ["reason"], parked.items())

    def _oldest(self, queues: Iterable[QueueView]) -> Metric:
        oldest: dict[tuple[str], float] = {}
        for queue in queues:
            if queue.oldest_ready_at is not None:
                at = queue.oldest_ready_at.timestamp()
                key = (self.queue(queue.name),)
                oldest[key] = min(at, oldest.get(key, at))
        return _family(
            "farmhand_tasks_oldest_ready_timestamp_seconds",
            "When the longest waiting of the next tasks became ready.",
            ["queue"],
            oldest.items(),
        )


class _Collected:
    def __init__(self, metrics: list[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> list[Metric]:
        return self._metrics


def _family(
    name: str, text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def configure_logging(level: str = "info", format: Literal["auto", "json", "console"] = "auto") -> None:  # noqa: A002
    """Send all logs, ours and those of libraries, to standard error: one JSON object a line, or for a terminal's eyes.

    `auto` is console on a terminal. Raises ValueError for a *level* that there is not.
    """
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        raise ValueError(f"there is no log level {level!r}: use debug, info, warning or error")
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: list[Processor] = (
        # A plain traceback: the pretty one shows the values of variables, and some are secrets.
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if console
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for noisy in ("aiormq", "aio_pika", "uvicorn.access", "httpx", "httpcore"):
        logging.getLogger(noisy).setLevel(max(number, logging.WARNING))
