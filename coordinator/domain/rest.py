"""Why one worker does not take work just now, in words that name who wanted it and until when."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from coordinator.domain.asking import Source
from coordinator.domain.worker import EFFECTS, Asked, Connection, Duty, Ends, Worker

#: What it is, by what it was asked for or says of itself.
_WORDS: Final[Mapping[Duty, str]] = {
    Duty.ASLEEP: "asleep",
    Duty.DRAINING: "draining",
    Duty.ERROR: "not able to work",
    Duty.TESTING: "being tested: it takes only tasks that name it",
    Duty.STARTING: "starting",
    Duty.QUARANTINED: "quarantined",
}


@dataclass(frozen=True, slots=True)
class Rest:
    """What a worker is asked for and has become. `until` is when its schedule changes that."""

    duty: Duty
    asked: Asked | None = None
    source: Source | None = None
    by: str | None = None
    reason: str | None = None
    lazy: bool = True
    deadline_at: datetime | None = None
    until: datetime | None = None
    zone: str = "UTC"

    @property
    def works(self) -> bool:
        """Whether there is nothing to explain."""
        return self.duty is Duty.AWAKE and self.asked in (None, Asked.AWAKE)

    @property
    def sentence(self) -> str:
        """In one sentence without a subject; "" for a worker that takes work."""
        return "" if self.works else self._what() + self._details()

    @property
    def words(self) -> str:
        """What follows the word for its duty: until when, who wanted it and why, or what else it is asked for."""
        if self.works:
            return ""
        as_asked = self.asked is None or EFFECTS[self.asked].duty is self.duty
        if as_asked:
            return self._details()
        return f" {self.sentence}" if self.duty is Duty.AWAKE else f", {self.sentence}"

    def _details(self) -> str:
        parts = []
        if self.source is Source.SCHEDULE and self.until is not None:
            parts.append(f" until {self.until.astimezone(ZoneInfo(self.zone)):%a %H:%M} {self.zone}")
        if self.by is not None:
            parts.append(f" by {'its ' if self.source is Source.SCHEDULE else ''}{self.by}")
        if self.deadline_at is not None:
            parts.append(f", at once from {self.deadline_at.astimezone(ZoneInfo(self.zone)):%H:%M} {self.zone}")
        if self.reason and self.source is not Source.SCHEDULE:
            parts.append(f": {self.reason}")
        return "".join(parts)

    def _what(self) -> str:
        if self.asked is None:
            return _WORDS.get(self.duty, self.duty)
        effect = EFFECTS[self.asked]
        if effect.duty is self.duty:
            return _WORDS.get(self.duty, self.duty)
        verb = {Asked.OFFLINE: "stop", Asked.RESTART: "restart"}.get(self.asked, f"be {effect.duty}")
        when = " after what it holds" if self.lazy and effect.ends is not Ends.DONE else ""
        return f"asked to {verb}{when}"


_COLUMNS: Final = (
    *("duty", "reason", "requested_state", "requested_source", "requested_by", "requested_reason", "requested_lazy"),
    *("requested_deadline_at", "sleep_next_at", "sleep_schedule"),
)


def rest_of(row: Mapping[str, Any]) -> Rest:
    """Of a worker's row (the names of its columns)."""
    asked, source, schedule = row["requested_state"], row["requested_source"], row["sleep_schedule"]
    return Rest(
        duty=Duty(row["duty"]),
        asked=Asked(asked) if asked else None,
        source=Source(source) if source else None,
        by=row["requested_by"] if asked else None,
        reason=row["requested_reason"] if asked else row["reason"],
        lazy=row["requested_lazy"],
        deadline_at=row["requested_deadline_at"],
        until=row["sleep_next_at"],
        zone=schedule["zone"] if schedule else "UTC",
    )


def words_of(worker: Worker) -> str:
    """What follows the word for what *worker* is, in `why`."""
    if worker.connection not in (Connection.ONLINE, Connection.SUSPECT):
        return f": {worker.reason}" if worker.reason else ""
    return rest_of({name: getattr(worker, name) for name in _COLUMNS}).words
