"""Schedules: instants against brute force over minutes, and what becomes of the missed ones."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coordinator.domain.schedule import MISSED_AFTER, MOST_LOOKED_AT, Due, Missed, Overlap, due, following, next_after
from tests.support.chance import examples

MINUTE = timedelta(minutes=1)
#: Around the changes of clocks in Paris and New York, on a day like any other, and over the end of a leap year.
STARTS = [
    datetime(2026, 3, 28, 20, tzinfo=UTC),
    datetime(2026, 10, 24, 20, tzinfo=UTC),
    datetime(2026, 3, 8, 2, tzinfo=UTC),
    datetime(2026, 11, 1, 1, tzinfo=UTC),
    datetime(2026, 6, 10, 3, 17, 30, tzinfo=UTC),
    datetime(2028, 2, 28, 22, tzinfo=UTC),
    datetime(2026, 10, 25, 0, 45, 30, tzinfo=UTC),
]
MINUTES = st.sampled_from(["0", "30", "59", "0,30", "*/20", "*"])
HOURS = st.sampled_from(["0", "2", "3", "1-3", "2,14", "*/6", "*"])
DAYS = st.sampled_from(["*", "29", "1,25", "25-31"])
WEEKDAYS = st.sampled_from(["*", "0", "1-5", "6"])
ZONES = st.sampled_from(["UTC", "Europe/Paris", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"])


def values(field: str, low: int, high: int) -> set[int]:
    """The numbers that a field of cron means."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        first, _, last = span.partition("-")
        numbers = range(low, high + 1) if span == "*" else range(int(first), int(last or first) + 1)
        found.update(numbers[:: int(step or 1)])
    return found


def shown(cron: str, wall: datetime) -> bool:
    """Whether a clock that shows *wall* fits."""
    minute, hour, day, _, weekday = cron.split()
    days = wall.day in values(day, 1, 31)
    weekdays = wall.isoweekday() % 7 in values(weekday, 0, 6)
    both = day.startswith("*") or weekday.startswith("*")
    on_day = (days and weekdays) if both else (days or weekdays)
    return on_day and wall.minute in values(minute, 0, 59) and wall.hour in values(hour, 0, 23)


def brute_force(cron: str, zone: ZoneInfo, after: datetime, until: datetime) -> list[datetime]:
    """Every minute is looked at. With a fixed hour and minute: what is leapt over comes after the leap, what is shown
    twice comes once."""
    fixed = not cron.split(maxsplit=1)[0].startswith("*") and not cron.split()[1].startswith("*")
    found = []
    one = (after - timedelta(hours=3)).replace(second=0, microsecond=0)
    while (one := one + MINUTE) <= until:
        wall = one.astimezone(zone)
        naive = wall.replace(tzinfo=None, fold=0)
        before = (one - MINUTE).astimezone(zone).replace(tzinfo=None)
        leapt = [before + n * MINUTE for n in range(1, round((naive - before) / MINUTE))]
        hit = shown(cron, naive) and not (fixed and wall.fold)
        if one > after and (hit or (fixed and any(shown(cron, each) for each in leapt))):
            found.append(one)
    return found


@settings(max_examples=examples(0.3))
@given(st.sampled_from(STARTS), ZONES, MINUTES, HOURS, DAYS, WEEKDAYS)
def test_the_next_instants_are_those_that_brute_force_finds(
    after: datetime, zone: str, minute: str, hour: str, day: str, weekday: str
) -> None:
    cron = f"{minute} {hour} {day} * {weekday}"
    until = after + timedelta(hours=30)
    found = []
    for one in following(cron, zone, after):
        if one > until:
            break
        found.append(one)
    assert found == brute_force(cron, ZoneInfo(zone), after, until)


@given(
    late_s=st.integers(0, 36 * 3600),
    cron=st.sampled_from(["*/5 * * * *", "*/31 * * * *", "30 2 * * *", "0 0 1 * *"]),
    missed=st.sampled_from(Missed),
    overlap=st.sampled_from(Overlap),
    most=st.integers(1, 100),
)
@settings(max_examples=examples(0.12))
def test_of_missed_instants_each_policy_keeps_its_own(
    late_s: int, cron: str, missed: Missed, overlap: Overlap, most: int
) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    next_at = next_after(cron, "Europe/Paris", start)
    assert next_at is not None
    now = next_at + timedelta(seconds=late_s)

    found = due(cron, "Europe/Paris", next_at=next_at, now=now, missed=missed, most_missed=most, overlap=overlap)

    all_of_them = [one for one in islice(following(cron, "Europe/Paris", start), 1000) if one <= now]
    assert all(one in all_of_them for one in found.fires)
    assert list(found.fires) == sorted(set(found.fires))
    assert found.next_at == next_after(cron, "Europe/Paris", now)
    assert found.passed <= len(all_of_them) - len(found.fires)
    if len(all_of_them) <= MOST_LOOKED_AT:
        assert found.passed == len(all_of_them) - len(found.fires)
    wanted = {
        Missed.SKIP: [one for one in all_of_them if now - one <= MISSED_AFTER],
        Missed.ONCE: all_of_them[-1:],
        Missed.ALL: all_of_them[-most:],
    }[missed]
    assert list(found.fires) == (wanted[-1:] if overlap is Overlap.REPLACE else wanted)


def test_a_night_without_half_past_two_runs_right_after_the_leap_and_a_night_with_two_runs_once() -> None:
    def first_two(after: datetime) -> list[str]:
        found = islice(following("30 2 * * *", "Europe/Paris", after), 2)
        return [one.astimezone(ZoneInfo("Europe/Paris")).isoformat() for one in found]

    assert first_two(datetime(2026, 3, 29, tzinfo=UTC)) == ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    assert first_two(datetime(2026, 10, 25, tzinfo=UTC)) == ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]


def test_years_of_missed_minutes_are_decided_at_once() -> None:
    long_ago = datetime(2000, 1, 1, tzinfo=UTC)
    now = datetime(2026, 1, 1, 0, 0, 30, tzinfo=UTC)
    found: Due = due(
        "* * * * *", "UTC", next_at=long_ago, now=now, missed=Missed.ALL, most_missed=3, overlap=Overlap.ALLOW
    )
    assert [one.isoformat() for one in found.fires] == [
        "2025-12-31T23:58:00+00:00",
        "2025-12-31T23:59:00+00:00",
        "2026-01-01T00:00:00+00:00",
    ]
    assert found.passed >= MOST_LOOKED_AT - 3


@pytest.mark.parametrize(
    ("cron", "zone", "said"),
    [
        ("0 2 * *", "UTC", "not five cron fields"),
        ("0 0 2 * * *", "UTC", "not five cron fields"),
        ("61 2 * * *", "UTC", "not a cron expression: Bad minute"),
        ("0 2 * * *", "Europe/Atlantis", "'Europe/Atlantis' is not a time zone"),
        ("0 2 * * *", "../../etc/passwd", "is not a time zone"),
    ],
)
def test_what_is_no_schedule_is_told_in_words(cron: str, zone: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        next_after(cron, zone, STARTS[0])
