"""Questions about time: whole intervals, each moment of which is covered once."""

import random
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.statistics import (
    EPOCH,
    LEVELS,
    Span,
    fitting_interval_s,
    floor,
    pieces,
)

times = st.integers(0, 10**10).map(lambda seconds: EPOCH + timedelta(seconds=seconds))
intervals = st.sampled_from([1, 10, 60, 300, 900, 3600, 7200, 86400, 7 * 86400])


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


@given(times, st.integers(1, 10**7), intervals, st.lists(times, min_size=len(LEVELS), max_size=len(LEVELS)))
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
