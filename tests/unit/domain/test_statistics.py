"""Figures over time: sketches add up and are near the truth, and a question's time is covered once."""

import random
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.statistics import (
    EPOCH,
    LEVELS,
    NOUGHT,
    Span,
    exact_percentile,
    fitting_interval_s,
    floor,
    percentile,
    pieces,
    sketch_key,
)

values = st.lists(st.floats(0, 1e15) | st.floats(0, 100) | st.just(0.0), min_size=1, max_size=60)
shares = st.floats(0, 1)
times = st.integers(0, 10**10).map(lambda seconds: EPOCH + timedelta(seconds=seconds))
intervals = st.sampled_from([1, 10, 60, 300, 900, 3600, 7200, 86400, 7 * 86400])


def sketch(some: list[float]) -> dict[int, int]:
    found: dict[int, int] = {}
    for value in some:
        found[sketch_key(value)] = found.get(sketch_key(value), 0) + 1
    return dict(sorted(found.items()))


@given(values, shares)
def test_a_percentile_of_a_sketch_is_at_most_one_percent_off(some: list[float], share: float) -> None:
    counted = sketch(some)
    found = percentile(list(counted), list(counted.values()), share)
    assert found == pytest.approx(exact_percentile(some, share), rel=0.010001, abs=0.001)


@given(st.lists(values, min_size=1, max_size=5))
def test_sketches_of_parts_added_up_are_the_sketch_of_the_whole(parts: list[list[float]]) -> None:
    added: dict[int, int] = {}
    for part in parts:
        for key, tally in sketch(part).items():
            added[key] = added.get(key, 0) + tally
    assert dict(sorted(added.items())) == sketch([value for part in parts for value in part])


def test_what_is_nearly_nothing_is_one_bucket() -> None:
    assert sketch_key(0) == sketch_key(0.0009) == sketch_key(-3) == NOUGHT
    assert NOUGHT < sketch_key(0.001) < sketch_key(1) <= 0 < sketch_key(1e18) == sketch_key(1e30) < 32767


@given(times, st.integers(1, 10**7), intervals)
def test_a_span_is_whole_intervals_that_hold_what_was_asked(since: datetime, seconds: int, interval_s: int) -> None:
    until = since + timedelta(seconds=seconds)
    span = Span.holding(since, until, interval_s)
    assert span.since <= since < until <= span.until
    assert since - span.since < timedelta(seconds=interval_s) > span.until - until
    assert span.since == floor(span.since, interval_s)
    if span.count < 1000:
        starts = list(span.starts())
        assert starts[0] == span.since
        assert starts[-1] + timedelta(seconds=interval_s) == span.until
        assert len(starts) == span.count


@given(times, st.integers(1, 10**7), intervals, st.lists(times, min_size=3, max_size=3))
def test_every_moment_comes_from_one_level_that_is_made_and_fits_the_interval(
    since: datetime, seconds: int, interval_s: int, done: list[datetime]
) -> None:
    made = {level: floor(at, LEVELS[level]) for level, at in zip(LEVELS, sorted(done, reverse=True), strict=True)}
    span = Span.holding(since, since + timedelta(seconds=seconds), interval_s)
    found = pieces(span, made)
    assert [(piece.since, piece.until) for piece in found] == [
        (piece.since, following)
        for piece, following in zip(found, [*(piece.since for piece in found[1:]), span.until], strict=True)
    ]
    assert found[0].since == span.since
    for piece in found:
        assert piece.since < piece.until
        if piece.level is not None:
            assert interval_s % LEVELS[piece.level] == 0
            assert piece.until <= made[piece.level]
    rank: list[str | None] = [*reversed(list(LEVELS)), None]
    assert [rank.index(piece.level) for piece in found] == sorted(rank.index(piece.level) for piece in found)


def test_an_interval_that_fits_gives_few_points_and_one_that_levels_have() -> None:
    for _ in range(200):
        seconds = random.randrange(60, 400 * 86400)
        assert seconds / fitting_interval_s(seconds) <= 120
