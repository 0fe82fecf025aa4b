"""When a schedule fires: cron expressions in a time zone, and what becomes of the instants that were missed.

An expression has five fields (minute, hour, day of month, month, day of week), or is one of `@hourly`, `@daily`,
`@weekly`, `@monthly`, `@yearly`. When clocks change, it does what cron does: with a fixed hour and minute, an instant
that the clocks leap over comes right after the leap, and one that they show twice comes the first time only; with a
star in hour or minute, it comes whenever the clocks show it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

#: An instant that is decided this much later has been missed: nobody was there to see it.
MISSED_AFTER: Final = timedelta(seconds=60)
#: As many instants are looked at one by one; of more, only the newest.
MOST_LOOKED_AT: Final = 300
_FIELDS: Final = 5
_SHORT: Final = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}


class Missed(StrEnum):
    """What becomes of missed instants: nothing, one run for all that have gathered, or a run each (bounded)."""

    SKIP = "skip"
    ONCE = "once"
    ALL = "all"


class Overlap(StrEnum):
    """What an instant does while the job of an earlier one is not finished."""

    ALLOW = "allow"
    SKIP = "skip"
    REPLACE = "replace"


@dataclass(frozen=True, slots=True)
class Due:
    """The instants to fire, oldest first; those passed over (`passed` in number, `newest_passed`); the next one.

    `passed` says how many there are at least.
    """

    fires: tuple[datetime, ...]
    passed: int
    newest_passed: datetime | None
    next_at: datetime | None


def zone(name: str) -> ZoneInfo:
    """The IANA time zone called *name*, or ValueError."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise ValueError(f"{name!r} is not a time zone such as Europe/Paris or UTC") from None


def following(cron: str, timezone: str, after: datetime) -> Iterator[datetime]:
    """The instants of *cron* after *after*, each once, in order, in UTC. Raises ValueError for what is not cron."""
    expression = _SHORT.get(cron.strip().lower(), cron)
    if len(expression.split()) != _FIELDS:
        raise ValueError(f"{cron!r} is not five cron fields: minute, hour, day, month, day of week")
    local = zone(timezone)
    try:
        found = CronSim(expression, after.astimezone(local))
    except CronSimError as error:
        raise ValueError(f"{cron!r} is not a cron expression: {error}") from None
    return _rising(found, local, after)


def _rising(found: CronSim, local: ZoneInfo, after: datetime) -> Iterator[datetime]:
    last = after
    for one in found:
        instant = one.astimezone(UTC)
        # A time that the clocks never show is no match; what a leap moves together is one instant.
        shown = instant.astimezone(local).replace(tzinfo=None) == one.replace(tzinfo=None)
        if shown and instant > last:
            last = instant
            yield instant


def next_after(cron: str, timezone: str, after: datetime) -> datetime | None:
    """The first instant after *after*; None when there is none within fifty years."""
    return next(following(cron, timezone, after), None)


def due(
    cron: str,
    timezone: str,
    *,
    next_at: datetime,
    now: datetime,
    missed: Missed,
    most_missed: int,
    overlap: Overlap,
) -> Due:
    """What is to be done at *now* about the instants from *next_at* on."""
    instants, count = _gathered(cron, timezone, next_at, now, most_missed)
    if missed is Missed.SKIP:
        fires = [one for one in instants if now - one <= MISSED_AFTER]
    else:
        fires = instants[-1:] if missed is Missed.ONCE else instants[-most_missed:]
    if overlap is Overlap.REPLACE:
        fires = fires[-1:]
    passed = [one for one in instants if one not in fires]
    return Due(
        tuple(fires), count - len(fires), passed[-1] if passed else None, next_after(cron, timezone, max(now, next_at))
    )


def _gathered(cron: str, timezone: str, since: datetime, until: datetime, most: int) -> tuple[list[datetime], int]:
    """The instants in [*since*, *until*], or at least the newest *most* of them; and how many there are at least."""
    before = since - timedelta(microseconds=1)
    instants: list[datetime] = []
    for one in islice(following(cron, timezone, before), MOST_LOOKED_AT + 1):
        if one > until:
            return instants, len(instants)
        instants.append(one)
    width = timedelta(hours=1)
    while True:
        start = max(before, until - width)
        newest = []
        for one in following(cron, timezone, start):
            if one > until:
                break
            newest.append(one)
        if len(newest) > most or start == before:
            return newest, max(len(newest), len(instants))
        width *= 2
