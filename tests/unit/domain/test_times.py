"""Times: when a task may start, by when it must be done, and when an attempt has had its time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.task import TaskState
from coordinator.domain.times import Times, fault, first_state, instant, look_at, overdue

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECONDS = st.integers(-1000, 1000).map(lambda seconds: NOW + timedelta(seconds=seconds))
LIMITS = st.one_of(st.none(), st.integers(1, 500).map(float))


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_delay_counts_from_the_submission_and_an_instant_is_itself() -> None:
    assert instant(90, NOW) == at(90)
    assert instant(at(5), NOW) == at(5)
    assert instant(None, NOW) is None


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (Times(deadline=at(-1)), "its deadline 2026-03-01 11:59:59 UTC has passed already"),
        (Times(at(20), at(10)), "its deadline 2026-03-01 12:00:10 UTC is not after its start 2026-03-01 12:00:20 UTC"),
        (Times(at(10), at(20)), None),
        (Times(at(-10)), None),
    ],
)
def test_what_can_never_be_done_is_told(times: Times, words: str | None) -> None:
    assert fault(times, NOW) == words


@given(st.one_of(st.none(), SECONDS), st.one_of(st.none(), SECONDS), st.integers(0, 2))
def test_a_new_task_is_ready_exactly_when_nothing_has_to_come_first(
    not_before: datetime | None, deadline: datetime | None, unmet: int
) -> None:
    state = first_state(Times(not_before, deadline), NOW, unmet=unmet)

    missed = deadline is not None and deadline <= NOW
    early = not_before is not None and not_before > NOW
    assert (state is TaskState.FAILED) == missed
    assert (state is TaskState.BLOCKED) == (not missed and unmet > 0)
    assert (state is TaskState.SCHEDULED) == (not missed and unmet == 0 and early)
    assert (state is TaskState.READY) == (not missed and unmet == 0 and not early)


@given(LIMITS, LIMITS, st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 3000))
def test_an_attempt_is_overdue_exactly_from_the_time_to_look_on(
    max_run_s: float | None, no_progress_s: float | None, started: int, heard: int, passed: int
) -> None:
    times, heard_at = Times(max_run_s=max_run_s, no_progress_s=no_progress_s), at(started + heard)
    look = look_at(times, at(started), heard_at)
    now = heard_at + timedelta(seconds=passed)

    assert (look is None) == (not times.watched)
    assert (overdue(times, at(started), heard_at, now) is not None) == (look is not None and now >= look)


def test_the_cause_is_told_for_retries_and_for_people() -> None:
    times = Times(max_run_s=60, no_progress_s=10)

    ran, silent = overdue(times, at(-60), NOW, NOW), overdue(times, at(-30), at(-10), NOW)

    assert ran is not None
    assert silent is not None
    assert (ran.cause, ran.words) == ("time", "it ran longer than the 60 s allowed (max_run_s)")
    assert (silent.cause, silent.words) == ("stalled", "no log and no progress for 10 s (no_progress_s)")
