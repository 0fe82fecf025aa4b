"""Sleep schedules: over midnight, across the change of the clocks, and against a simple model."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.sleep import Range, Schedule, asleep_at, next_transition

BERLIN = "Europe/Berlin"
WEEK = frozenset[int]()


def at(text: str) -> datetime:
    """An instant, written with its offset."""
    return datetime.fromisoformat(text)


def a_range(start: str, end: str, *days: int) -> Range:
    hours = [int(part) for text in (start, end) for part in text.split(":")]
    return Range(frozenset(days), hours[0] * 60 + hours[1], hours[2] * 60 + hours[3])


def a_schedule(*ranges: Range, zone: str = BERLIN) -> Schedule:
    return Schedule(zone, ranges)


def changes(schedule: Schedule, start: str, count: int) -> list[str]:
    """The next changes in local time, those to sleep marked by a `z`."""
    found, now = [], at(start)
    for _ in range(count):
        change = next_transition(schedule, now)
        assert change is not None
        found.append(f"{change.at.astimezone(ZoneInfo(schedule.zone)):%a %d %H:%M%z}{'z' if change.asleep else ''}")
        now = change.at
    return found


def test_a_range_over_midnight_is_a_night_and_not_the_day_between() -> None:
    night = a_schedule(a_range("18:00", "09:00"))
    assert asleep_at(night, at("2026-01-15T23:00+01:00"))
    assert asleep_at(night, at("2026-01-15T08:59+01:00"))
    assert not asleep_at(night, at("2026-01-15T09:00+01:00"))
    assert not asleep_at(night, at("2026-01-15T17:59+01:00"))
    assert changes(night, "2026-01-15T12:00+01:00", 2) == ["Thu 15 18:00+0100z", "Fri 16 09:00+0100"]


def test_a_night_belongs_to_the_day_on_which_it_begins() -> None:
    friday = a_schedule(a_range("22:00", "06:00", 4))
    assert changes(friday, "2026-01-14T00:00+01:00", 3) == [
        "Fri 16 22:00+0100z",
        "Sat 17 06:00+0100",
        "Fri 23 22:00+0100z",
    ]


def test_several_ranges_are_joined_where_they_touch() -> None:
    office = a_schedule(a_range("09:00", "12:00"), a_range("12:00", "13:00"), a_range("14:00", "17:00", 0))
    assert changes(office, "2026-01-19T08:00+01:00", 5) == [
        "Mon 19 09:00+0100z",
        "Mon 19 13:00+0100",
        "Mon 19 14:00+0100z",
        "Mon 19 17:00+0100",
        "Tue 20 09:00+0100z",
    ]


def test_the_clock_jumps_forward_over_the_end_of_a_night() -> None:
    night = a_schedule(a_range("22:00", "02:30"))
    assert changes(night, "2026-03-28T12:00+01:00", 2) == ["Sat 28 22:00+0100z", "Sun 29 03:00+0200"]


def test_a_range_that_the_clock_jumps_over_does_not_happen() -> None:
    gap = a_schedule(a_range("02:10", "02:50", 6))
    assert changes(gap, "2026-03-23T12:00+01:00", 2) == ["Sun 05 02:10+0200z", "Sun 05 02:50+0200"]


def test_a_time_that_comes_twice_is_meant_the_first_time() -> None:
    night = a_schedule(a_range("22:00", "02:30"))
    assert changes(night, "2026-10-24T12:00+02:00", 3) == [
        "Sat 24 22:00+0200z",
        "Sun 25 02:30+0200",
        "Sun 25 22:00+0100z",
    ]


def test_what_never_changes_has_no_next_change() -> None:
    assert next_transition(a_schedule(), at("2026-01-01T00:00Z")) is None
    always = a_schedule(a_range("00:00", "24:00"))
    assert next_transition(always, at("2026-01-01T00:00Z")) is None
    assert asleep_at(always, at("2026-03-29T02:30Z"))


def test_a_minute_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="a range is from"):
        Range(WEEK, 24 * 60, 0)


MINUTES = st.integers(0, 24 * 60 - 1)
RANGES = st.builds(Range, st.frozensets(st.integers(0, 6), max_size=4), MINUTES, MINUTES)
SCHEDULES = st.builds(
    Schedule,
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "UTC", "Pacific/Apia"]),
    st.lists(RANGES, max_size=4).map(tuple),
)
INSTANTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(SCHEDULES, INSTANTS)
def test_the_next_change_is_a_change_and_nothing_changes_before_it(schedule: Schedule, now: datetime) -> None:
    change = next_transition(schedule, now)
    before = asleep_at(schedule, now)
    if change is None:
        assert all(asleep_at(schedule, now + timedelta(hours=hour)) is before for hour in range(0, 14 * 24, 29))
        return
    assert change.at > now
    assert change.asleep is not before
    assert asleep_at(schedule, change.at) is change.asleep
    span = change.at - now
    assert all(asleep_at(schedule, now + span * part / 8) is before for part in range(8))


@given(SCHEDULES.filter(lambda one: one.zone in ("UTC", "Asia/Kolkata")), INSTANTS)
def test_without_changes_of_the_clock_it_is_what_the_wall_clock_says(schedule: Schedule, now: datetime) -> None:
    local = now.astimezone(ZoneInfo(schedule.zone))
    minute, today = local.hour * 60 + local.minute, local.weekday()

    def within(one: Range) -> bool:
        names = one.days or frozenset(range(7))
        if one.start < one.end:
            return today in names and one.start <= minute < one.end
        return (today in names and minute >= one.start) or ((today - 1) % 7 in names and minute < one.end)

    assert asleep_at(schedule, now) is any(within(one) for one in schedule.ranges)
