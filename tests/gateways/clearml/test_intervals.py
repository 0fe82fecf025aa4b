"""In which intervals questions about figures are answered: as they are asked, or rounded up, as the page says."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.gateways.clearml.intervals import Asked, fitting_s

NOW = datetime(2026, 3, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
#: The newest sample of a farm's workers, where nothing else is said.
HERE = timedelta(seconds=20)


def asked(interval_s: int, length: timedelta, workers: int = 100, *, until: datetime = NOW, **more: Any) -> Asked:
    """A question about so many workers, who are all there and all there are."""
    some: Any = [SimpleNamespace(last_seen_at=NOW - HERE, now=NOW)] * workers
    return Asked(until - length, until, interval_s, some, **{"read": workers} | more)


@pytest.mark.parametrize(
    ("question", "interval_s"),
    [
        (asked(40, timedelta(hours=1)), 40),
        (asked(300, DAY), 300),
        (asked(40, DAY), 300),
        (asked(720, DAY), 900),
        (asked(3599, DAY), 3600),
        (asked(86, DAY, workers=1), 86),
        (asked(86, DAY, workers=1, metrics=4, series=4), 86),
        (asked(86, DAY, workers=1, metrics=5, series=5), 300),
        (asked(300, DAY, workers=1, metrics=4, series=12), 300),
        (asked(300, DAY, workers=1, metrics=12, series=36), 900),
        (asked(300, DAY, workers=2, metrics=12, series=36, read=100), 3600),
        (asked(1500, DAY, workers=100, metrics=12, series=12), 3600),
        (asked(300, DAY, metrics=1, series=3), 300),
        (asked(300, DAY, metrics=12, series=36), 3600),
        (asked(900, DAY, metrics=3, series=3), 900),
        (asked(3600, DAY, metrics=12, series=36), 3600),
        (asked(60, timedelta(minutes=10), until=NOW - 1.5 * DAY), 60),
        (asked(60, timedelta(minutes=10), until=NOW - 3 * DAY), 300),
        (asked(60, timedelta(minutes=10), until=NOW - 31 * DAY), 3600),
        (asked(4000, timedelta(hours=9), until=NOW - 31 * DAY), 7200),
        (asked(60, timedelta(minutes=10), until=NOW - 401 * DAY), 86400),
        (asked(60, 400 * DAY, workers=0), 60),
    ],
    ids=str,
)
def test_what_is_asked_is_had_or_the_next_that_is_kept_and_has_room(question: Asked, interval_s: int) -> None:
    assert fitting_s(question, {}) == interval_s


def test_how_long_figures_are_kept_is_a_setting() -> None:
    question = asked(60, timedelta(minutes=10), until=NOW - 3 * DAY)
    assert fitting_s(question, {"samples_kept_days": 4}) == 60
    assert fitting_s(question, {"minutes_kept_days": 2}) == 3600


def test_who_was_gone_by_then_makes_no_question_large() -> None:
    gone: Any = [SimpleNamespace(last_seen_at=NOW - 2 * DAY, now=NOW)] * 5000
    question = asked(60, timedelta(hours=12), workers=2)
    assert fitting_s(question._replace(workers=[*question.workers, *gone]), {}) == 60


@given(
    st.integers(1, 10**6),
    st.integers(1, 100 * 86400),
    st.integers(0, 300),
    st.integers(1, 12),
    st.integers(0, 500 * 86400),
)
def test_it_is_never_finer_than_asked_and_an_answer_in_it_is_one_as_asked(
    interval_s: int, length_s: int, workers: int, metrics: int, age_s: int
) -> None:
    until = NOW - timedelta(seconds=age_s)
    question = asked(interval_s, timedelta(seconds=length_s), workers, until=until, metrics=metrics, series=3 * metrics)
    found = fitting_s(question, {})
    assert interval_s <= found < interval_s + 86400
    assert fitting_s(question._replace(interval_s=found), {}) == found
