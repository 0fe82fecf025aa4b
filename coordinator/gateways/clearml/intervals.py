"""Which intervals a question about figures is answered in: those that it asks for, or longer ones.

What is asked for is had where it costs little: from what is rolled up, or from samples if these are few. Else the
interval is rounded up, and the answer's dates show it: to whole stretches of 5 or 15 minutes, hours or days, the first
of them that are still kept, are soon read, and make an answer of a size that a client can read. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from coordinator.domain.statistics import LEVELS, Span, floor
from coordinator.gateways.clearml.envelope import WRONG_VALUE, refused
from coordinator.gateways.clearml.wire import ActivityReport
from coordinator.gateways.kit import Registered

#: Hours of samples that are gone through for one answer, each worker's and each metric's counted.
MOST_HOURS: Final = 100
#: What is rolled up and read for one answer: a metric in a stretch is a row, of all workers side by side; of one alone
#: only its place is read. A row costs as much as so many of them.
MOST_READ: Final = 40_000
ROW: Final = 25
#: Figures of an answer: of each worker and series as many as there are intervals.
MOST_FIGURES: Final = 100_000
MOST_INTERVALS: Final = 20_000
_HOUR: Final = timedelta(hours=1)
#: level (None: samples) -> the setting that says how many days it is kept, and its default.
_KEPT: Final[Mapping[str | None, tuple[str, int]]] = {
    None: ("samples_kept_days", 2),
    "5m": ("minutes_kept_days", 30),
    "15m": ("minutes_kept_days", 30),
    "1h": ("hours_kept_days", 400),
    "1d": ("days_kept_days", 3650),
}


class Asked(NamedTuple):
    """A question: from when to when, of which workers, and how many metrics of each, in how many series; `read` is how
    many workers' figures are read to have theirs."""

    since: datetime
    until: datetime
    interval_s: int
    workers: Iterable[Registered]
    metrics: int = 1
    series: int = 1
    read: int = 0


def asked_of(
    said: ActivityReport,
    workers: Sequence[Registered],
    everybody: Sequence[Registered],
    metrics: int = 1,
    series: int = 1,
) -> Asked:
    """The question that a call asks about *workers*, some of *everybody*. Raises Fault 400/16."""
    if said.from_date >= said.to_date:
        raise refused(WRONG_VALUE, "from_date must be before to_date", fields=["from_date", "to_date"])
    try:
        since, until = (datetime.fromtimestamp(at, UTC) for at in (said.from_date, said.to_date))
    except (ValueError, OverflowError, OSError):
        raise refused(WRONG_VALUE, "dates are seconds since 1970", fields=["from_date", "to_date"]) from None
    read = 1 if len(workers) == 1 else len(everybody)
    return Asked(since, until, said.interval, workers, metrics, series, read)


def span_of(asked: Asked, kept: Mapping[str, Any], *, complete: bool) -> Span:
    """The intervals in which it is answered, or the *complete* ones; *kept* are settings. Raises Fault 400/16."""
    interval_s = fitting_s(asked, kept)
    if (asked.until - asked.since).total_seconds() / interval_s > MOST_INTERVALS:
        raise refused(WRONG_VALUE, f"more than {MOST_INTERVALS} intervals: ask for less", fields=["interval"])
    if complete:
        return Span(floor(asked.since, interval_s), floor(asked.until, interval_s), interval_s)
    return Span.holding(asked.since, asked.until, interval_s)


def fitting_s(asked: Asked, kept: Mapping[str, Any]) -> int:
    """The interval that is asked for, or the next longer one in which it can be answered."""
    there = [one for one in asked.workers if one.last_seen_at >= asked.since]
    age = max((one.now for one in there), default=asked.since) - asked.since
    length = asked.until - asked.since
    hours, figures = (length / _HOUR * len(there) * number for number in (asked.metrics, asked.series))
    lines = length / _HOUR * asked.metrics * (ROW + asked.read)
    interval_s = asked.interval_s
    for step_s in (1, *LEVELS.values()):
        interval_s = -(-asked.interval_s // step_s) * step_s
        level = next((name for name in reversed([*LEVELS]) if interval_s % LEVELS[name] == 0), None)
        setting, days = _KEPT[level]
        is_kept = age <= timedelta(days=kept.get(setting, days))
        is_soon_read = hours <= MOST_HOURS if level is None else lines * 3600 / LEVELS[level] <= MOST_READ
        if is_kept and is_soon_read and figures * 3600 / interval_s <= MOST_FIGURES:
            break
    return interval_s
