"""When a worker sleeps: ranges of the week on the wall clock of a place, and the next moment at which that changes.

A range begins at a time of the days it names and ends at a time of the same day, or of the next when that is not later
(22:00 to 06:00; equal times are a whole day). Ranges may overlap: they are joined. When the clocks change:

- a time that does not exist is the moment in which the clock jumps over it;
- a time that comes twice is meant the first time.

So each range happens once on each of its days, and is as long as the clocks of that night make it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES: Final = 24 * 60
#: Two weeks and a day: a range that the change of the clocks swallows comes again a week later.
_HORIZON_DAYS: Final = 15


@dataclass(frozen=True, slots=True)
class Range:
    """Asleep on these days (0 is Monday; none: all) from `start` to `end`, in minutes of the day."""

    days: frozenset[int]
    start: int
    end: int

    def __post_init__(self) -> None:
        """Raise ValueError for what is no time of day."""
        if not (0 <= self.start < _DAY_MINUTES and 0 <= self.end <= _DAY_MINUTES):
            raise ValueError("a range is from 00:00 to 23:59, until 00:00 to 24:00")

    @property
    def minutes(self) -> int:
        """How far after its start it ends, on a clock that does not change."""
        return (self.end - self.start - 1) % _DAY_MINUTES + 1


@dataclass(frozen=True, slots=True)
class Schedule:
    """The ranges in which a worker sleeps, on the clock of `zone` (a name of the time zone database)."""

    zone: str
    ranges: tuple[Range, ...]


@dataclass(frozen=True, slots=True)
class Transition:
    """From `at` (UTC) on the worker is to be asleep, or awake."""

    at: datetime
    asleep: bool


def asleep_at(schedule: Schedule, at: datetime) -> bool:
    """Whether the worker is to be asleep at the aware instant *at*."""
    return any(start <= at < end for start, end in _intervals(schedule, at, 0))


def next_transition(schedule: Schedule, after: datetime) -> Transition | None:
    """The first change later than the aware instant *after*; None when it never changes."""
    last = after + timedelta(days=_HORIZON_DAYS)
    for start, end in _intervals(schedule, after, _HORIZON_DAYS + 2):
        if after < start <= last:
            return Transition(start, asleep=True)
        if start <= after < end <= last:
            return Transition(end, asleep=False)
    return None


def _intervals(schedule: Schedule, around: datetime, ahead: int) -> Iterator[tuple[datetime, datetime]]:
    """The intervals of sleep that begin until *ahead* days after *around*, joined, in order."""
    zone = ZoneInfo(schedule.zone)
    today = around.astimezone(zone).date()
    first: datetime | None = None
    last = around
    for start, end in sorted(_occurrences(schedule.ranges, zone, today, ahead)):
        if first is not None and start <= last:
            last = max(last, end)
            continue
        if first is not None:
            yield first, last
        first, last = start, end
    if first is not None:
        yield first, last


def _occurrences(
    ranges: Iterable[Range], zone: ZoneInfo, today: date, ahead: int
) -> Iterator[tuple[datetime, datetime]]:
    for number in range(-2, ahead + 1):
        day = today + timedelta(days=number)
        for one in ranges:
            if not one.days or day.weekday() in one.days:
                start = instant(day, one.start, zone)
                end = instant(day, one.start + one.minutes, zone)
                if start < end:
                    yield start, end


def instant(day: date, minute: int, zone: ZoneInfo) -> datetime:
    """When the wall clock of *zone* shows minute *minute* of *day* (it may be one of the next day), as UTC."""
    naive = datetime(day.year, day.month, day.day) + timedelta(minutes=minute)  # noqa: DTZ001 - the wall's
    at = naive.replace(tzinfo=zone).astimezone(UTC)
    if at.astimezone(zone).replace(tzinfo=None) == naive:
        return at
    # The clock jumps over it: somewhere before `at` (the offset of before was taken), after as much earlier.
    before = naive.replace(tzinfo=zone, fold=1).astimezone(UTC)
    offset = at.astimezone(zone).utcoffset()
    low, high = before, at
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) / 2
        low, high = (low, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, high)
    return high.replace(microsecond=0)


def minute(text: str) -> int:
    """The minute of the day that "HH:MM" names."""
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)
