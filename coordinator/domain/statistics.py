"""What is measured, and how figures of time are asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Metric(NamedTuple):
    """Something that is measured: its unit, what it is, and whether there may be several: of cores, of GPUs."""

    unit: str
    what: str
    several: bool = False


#: What every sample has; gateways may add others.
METRICS: Final[Mapping[str, Metric]] = {
    "cpu": Metric("%", "processors, all together"),
    "core": Metric("%", "processors, one variant for each core", several=True),
    "memory": Metric("%", "memory in use"),
    "memory_used": Metric("B", "memory in use"),
    "memory_total": Metric("B", "memory that there is"),
    "disk": Metric("%", "disk in use"),
    "disk_used": Metric("B", "disk in use"),
    "disk_total": Metric("B", "disk that there is"),
    "network_received": Metric("B/s", "received"),
    "network_sent": Metric("B/s", "sent"),
    "load": Metric("", "load average of a minute"),
    "load5": Metric("", "load average of 5 minutes"),
    "load15": Metric("", "load average of 15 minutes"),
    "gpu": Metric("%", "GPUs, one variant for each", several=True),
    "gpu_memory_used": Metric("B", "memory of GPUs in use, one variant for each", several=True),
    "gpu_memory_total": Metric("B", "memory of GPUs that there is, one variant for each", several=True),
    "gpu_temperature": Metric("C", "temperature of GPUs, one variant for each", several=True),
    "held": Metric("", "attempts that it held"),
    "active": Metric("", "1 when it held an attempt, else 0"),
}

#: level -> seconds; the finest first. Before the first there are only samples.
LEVELS: Final[Mapping[str, int]] = {"5m": 300, "15m": 900, "1h": 3600, "1d": 86400}
#: level -> the one that it is made of.
GROUND: Final[Mapping[str, str]] = {above: below for below, above in pairwise(LEVELS)}

_INTERVALS: Final = (10, 30, 60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86400, 7 * 86400)


def fitting_interval_s(seconds: float) -> int:
    """An interval that makes of *seconds* a line that fits a terminal: at most 120 points."""
    return next((one for one in _INTERVALS if seconds <= 120 * one), _INTERVALS[-1])


class Piece(NamedTuple):
    """From which level figures of a time come (None: from samples)."""

    level: str | None
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Span:
    """A question's time: whole intervals, counted from 1970, that hold *since* to *until*."""

    since: datetime
    until: datetime
    interval_s: int

    @classmethod
    def holding(cls, since: datetime, until: datetime, interval_s: int) -> "Span":
        """The intervals that *since* to *until* touch."""
        first, last = floor(since, interval_s), floor(until, interval_s)
        whole = last == until and last > first
        return cls(first, last if whole else last + timedelta(seconds=interval_s), interval_s)

    @property
    def count(self) -> int:
        """How many intervals."""
        return round((self.until - self.since).total_seconds()) // self.interval_s

    def starts(self) -> Iterator[datetime]:
        """When each interval begins."""
        return (self.since + timedelta(seconds=self.interval_s * number) for number in range(self.count))


class Split(StrEnum):
    """What has a line of its own."""

    FARM = "farm"
    WORKER = "worker"
    VARIANT = "variant"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a metric: of these workers, else of all; with these percentiles (shares, 0 to 1)."""

    metric: str
    span: Span
    split: Split = Split.FARM
    workers: Sequence[str] = ()
    shares: Sequence[float] = ()


def floor(at: datetime, seconds: int) -> datetime:
    """The start of the interval that holds *at*."""
    return EPOCH + timedelta(seconds=(at - EPOCH) // timedelta(seconds=seconds) * seconds)


def pieces(span: Span, done: Mapping[str, datetime]) -> list[Piece]:
    """Where the figures of *span* come from: the coarsest level that divides its interval as far as it is made, after
    that the finer ones, at last samples. *done*: level -> until when it is made. Later levels are never further."""
    levels = [level for level, seconds in LEVELS.items() if span.interval_s % seconds == 0]
    edges = [span.since]
    for level in reversed(levels):
        edges.append(min(max(done[level], edges[-1]), span.until))
    edges.append(span.until)
    names: list[str | None] = [*reversed(levels), None]
    return [
        Piece(name, since, until) for name, (since, until) in zip(names, pairwise(edges), strict=True) if since < until
    ]
