"""Ranges of the week as people type them."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.cli.command import CommandError
from coordinator.cli.worker_rules import _range, idle_words, schedule_words
from schemas.base import UndecodableError, decode
from schemas.views import IdleView, SleepRange, SleepSchedule, SleepView


@pytest.mark.parametrize(
    ("typed", "days", "start", "end"),
    [
        ("22:00-06:00", [], "22:00", "06:00"),
        ("daily 22:00 - 06:00", [], "22:00", "06:00"),
        ("mon-wed 08:00-19:30", ["mon", "tue", "wed"], "08:00", "19:30"),
        ("Fri-Mon,Wed 00:00-24:00", ["fri", "sat", "sun", "mon", "wed"], "00:00", "24:00"),
        ("sat,sun,sat 10:00-11:00", ["sat", "sun"], "10:00", "11:00"),
    ],
)
def test_a_range_is_days_and_two_times(typed: str, days: list[str], start: str, end: str) -> None:
    assert _range(typed) == SleepRange.model_validate({"days": days, "start": start, "end": end})


@pytest.mark.parametrize("typed", ["", "22-06", "24:00-06:00", "22:00-25:00", "22:60-23:00", "monday 08:00-09:00"])
def test_what_is_no_range_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(CommandError, match="is not a range such as"):
        _range(typed)


@given(st.text(max_size=30))
def test_whatever_is_typed_there_is_a_range_or_a_word_of_help(typed: str) -> None:
    with contextlib.suppress(CommandError):
        assert _range(typed).start


def test_a_schedule_is_told_in_one_line() -> None:
    assert schedule_words(SleepView(schedule=None, next_at=None)) is None
    ranges = [SleepRange(days=["fri", "sat"], start="22:00", end="06:00"), SleepRange(start="12:00", end="13:00")]
    shown = SleepView.model_validate(
        {"schedule": SleepSchedule(zone="Europe/Berlin", asleep=ranges), "next_at": "2026-07-03T20:00:00Z"}
    )
    assert schedule_words(shown) == (
        "asleep fri,sat 22:00-06:00; daily 12:00-13:00 Europe/Berlin, changes Fri 03 Jul 22:00"
    )


def test_a_policy_is_told_in_a_few_words() -> None:
    assert idle_words(IdleView(action="off", after_s=60, own=False)) == "nothing is done about idleness"
    assert idle_words(IdleView(action="stop", after_s=5400, own=True)) == "stop after 1h30m (its own policy)"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"asleep": [], "zone": "Mars/Olympus"}', "zone"),
        (b'{"asleep": [], "zone": "../../etc/passwd"}', "zone"),
        (b'{"asleep": [{"start": "9:00", "end": "10:00"}]}', "asleep.0.start"),
        (b'{"asleep": [], "lazy": false, "within_s": 60}', ""),
        (b'{"ranges": []}', "asleep"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(body: bytes, field: str) -> None:
    with pytest.raises(UndecodableError) as caught:
        decode(body, SleepSchedule)
    assert caught.value.field == field
