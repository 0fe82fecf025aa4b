"""What Flower exports about Celery's workers and tasks, and what its users miss: under our names, without its faults.

A worker that is gone has no series. A name of a task is a label for the first hundred of them; no task is one.
"""

from collections.abc import Callable, Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric

_OTHER: Final = "_other"
_MOST_NAMES: Final = 100
_TYPES: Final = frozenset(
    f"task-{word}"
    for word in ("sent", "received", "started", "succeeded", "failed", "retried", "revoked", "rejected", "cancelled")
) | {"worker-online", "worker-heartbeat", "worker-offline"}
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600, 14400, 86400)


class Metrics:
    """Of all of Celery's brokers that one coordinator hears."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._names: set[str] = set()
        self._gauges: Callable[[], Iterable[Metric]] = tuple
        self.events = Counter("farmhand_celery_events", "Events heard.", ["type", "task"], registry=registry)
        self.unreadable = Counter("farmhand_celery_unreadable", "Messages left unread.", ["reason"], registry=registry)
        self.runtime = Histogram(
            "farmhand_celery_task_run_seconds", "Runtimes of tasks.", ["task"], buckets=_SECONDS, registry=registry
        )
        self.prefetch = Histogram(
            "farmhand_celery_task_prefetch_seconds",
            "From a worker's having a task to its start.",
            ["task"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.wait = Histogram(
            "farmhand_celery_task_wait_seconds",
            "From a task's being sent to a worker's having it (needs task_send_sent_event).",
            ["task"],
            buckets=_SECONDS,
            registry=registry,
        )
        registry.register(self)

    def heard(self, type_: str, task: str | None = None) -> None:
        """Count an event."""
        self.events.labels(type_ if type_ in _TYPES else _OTHER, self.name(task)).inc()

    def name(self, task: str | None) -> str:
        """The name of a task as a label."""
        if not task:
            return ""
        if task not in self._names:
            if len(self._names) >= _MOST_NAMES:
                return _OTHER
            self._names.add(task)
        return task

    def show(self, gauges: Callable[[], Iterable[Metric]]) -> None:
        """What is read when somebody scrapes."""
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        """The gauges, read now."""
        return self._gauges()

    def describe(self) -> Iterable[Metric]:
        """Nothing: gauges are not known before."""
        return ()


def gauge(name: str, text: str, labels: list[str], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """A family of gauges."""
    family = GaugeMetricFamily(f"farmhand_celery_{name}", text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family
