"""What is heard of Celery's workers, counted."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

_OTHER: Final = "_other"


class Metrics:
    """Of all of Celery's brokers that one coordinator hears."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter("farmhand_celery_events", "Events heard.", ["type"], registry=registry)
        self._unreadable = Counter("farmhand_celery_unreadable", "Messages left unread.", ["reason"], registry=registry)

    def heard(self, type_: str, known: frozenset[str]) -> None:
        """Count an event; types that are not *known* are one."""
        self._events.labels(type_ if type_ in known else _OTHER).inc()

    def unreadable(self, reason: str, count: int = 1) -> None:
        """Count what cannot be read."""
        self._unreadable.labels(reason).inc(count)
