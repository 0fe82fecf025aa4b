"""Counts what the writer and the road do, in the metrics' own words."""

from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Any

from coordinator.operations.ledger import Ledger
from coordinator.telemetry import Telemetry


class Meter:
    """The writer's observer."""

    def __init__(self, telemetry: Telemetry, road: Callable[[], tuple[bool, Any]]) -> None:
        self._telemetry = telemetry
        self._road = road
        self._published: dict[str, int] = {}

    def committed(self, ledger: Ledger, items: int, seconds: float) -> None:
        """A batch was applied."""
        telemetry = self._telemetry
        telemetry.batch_messages.labels("farmhand.events").observe(items)
        telemetry.transaction_seconds.labels("write").observe(seconds)
        plain = {
            "verdict": telemetry.verdicts,
            "ending": telemetry.attempts_finished,
            "idle": telemetry.idle_workers,
            "lost": telemetry.workers_lost,
            "expiry": telemetry.expiry_changes,
        }
        for (what, label), count in ledger.counted.items():
            match what:
                case "event":
                    telemetry.events.labels(label, "applied").inc(count)
                case "parked":
                    telemetry.events.labels(label, "parked").inc(count)
                case "assigned":
                    telemetry.attempts_assigned.labels(telemetry.queue(label)).inc(count)
                case "submitted":
                    telemetry.tasks_submitted.labels(telemetry.queue(label)).inc(count)
                case _ if what in plain:
                    plain[what].labels(label).inc(count)

    def refresh(self) -> None:
        """Take over what the road has counted."""
        connected, counts = self._road()
        for role in ("consume", "publish"):
            self._telemetry.broker_connected.labels(role).set(1 if connected else 0)
        if is_dataclass(counts) and not isinstance(counts, type):
            for name, total in asdict(counts).items():
                if isinstance(total, int):
                    more = total - self._published.get(name, 0)
                    self._telemetry.publishes.labels("worker", name).inc(more)
                    self._published[name] = total
