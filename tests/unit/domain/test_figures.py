"""Figures of many lines side by side: however values are cut into blocks, what is answered is what they come to."""

from collections import defaultdict
from datetime import timedelta
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.figures import FARM, Block, Course, Figures, Line, courses, merged
from coordinator.domain.sketch import NOUGHT, Sketch, exact_percentile, sketch_key, sketch_of, summed
from coordinator.domain.statistics import EPOCH

#: (second, worker, value).
Walk: TypeAlias = list[tuple[int, str, float]]

sizes = st.floats(0, 1e15) | st.floats(0, 100) | st.just(0.0)
values = st.lists(sizes, min_size=1, max_size=40)
shares = st.floats(0, 1)
walks = st.lists(st.tuples(st.integers(0, 3599), st.sampled_from("abc"), sizes), min_size=1, max_size=40)
SHARES = (0.0, 0.5, 0.95, 1.0)


def sketch(some: list[float]) -> Sketch:
    return sketch_of(some, min(some), max(some))


@given(values, shares)
def test_a_percentile_of_a_sketch_is_at_most_one_percent_off(some: list[float], share: float) -> None:
    exact = exact_percentile(sorted(some), share)
    assert sketch(some).percentile(share) == pytest.approx(exact, rel=0.010001, abs=0.001)


@given(values)
def test_a_sketch_counts_each_value_in_its_bucket(some: list[float]) -> None:
    expected: dict[int, int] = defaultdict(int)
    for value in some:
        expected[sketch_key(value)] += 1
    assert dict(zip(*sketch(some), strict=True)) == expected


@given(st.lists(values, min_size=1, max_size=5))
def test_sketches_of_parts_added_up_are_the_sketch_of_the_whole(parts: list[list[float]]) -> None:
    assert summed(map(sketch, parts)) == sketch([value for part in parts for value in part])


def test_what_is_nearly_nothing_is_one_bucket_and_every_figure_has_a_bucket_of_two_bytes() -> None:
    assert sketch_key(0) == sketch_key(0.0009) == sketch_key(-3) == NOUGHT
    assert NOUGHT < sketch_key(0.001) < sketch_key(1) <= 0 < sketch_key(1e30) < 32767


def blocks(walk: Walk, stretch_s: int, cut: int) -> list[Block]:
    """A block for each stretch, or two: of the workers up to *cut* and of the others."""
    cells: dict[tuple[int, bool], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for second, worker, value in walk:
        cells[second // stretch_s, "abc".index(worker) >= cut][worker].append(value)
    return [
        Block.of(
            EPOCH + timedelta(seconds=number * stretch_s),
            [((worker, None), Figures.of(some)) for worker, some in sorted(lines.items())],
        )
        for (number, _), lines in sorted(cells.items())
    ]


def plain(walk: Walk, interval_s: int, *, together: bool) -> dict[Line, dict[int, list[float]]]:
    found: dict[Line, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for second, worker, value in walk:
        found[FARM if together else worker, None][second // interval_s].append(value)
    return found


def agree(course: Course, expected: dict[int, list[float]], interval_s: int) -> None:
    assert list(course.at) == [EPOCH + timedelta(seconds=number * interval_s) for number in sorted(expected)]
    for place, number in enumerate(sorted(expected)):
        some = expected[number]
        assert (course.counts[place], course.lows[place], course.highs[place]) == (len(some), min(some), max(some))
        assert course.means[place] == pytest.approx(sum(some) / len(some))
        for share, column in zip(SHARES, course.percentiles, strict=True):
            exact = exact_percentile(sorted(some), share)
            assert column[place] == pytest.approx(exact, rel=0.0101, abs=0.001)


@given(
    walk=walks,
    stretch_s=st.sampled_from([300, 900]),
    stretches=st.sampled_from([1, 3, 12]),
    cut=st.integers(0, 3),
    together=st.booleans(),
)
def test_lines_are_what_the_values_come_to_however_they_are_cut(
    walk: Walk, stretch_s: int, stretches: int, cut: int, *, together: bool
) -> None:
    interval_s = stretch_s * stretches
    found = courses(blocks(walk, stretch_s, cut), interval_s, SHARES, together=together)
    expected = plain(walk, interval_s, together=together)
    assert list(found) == sorted(expected)
    for line, course in found.items():
        agree(course, expected[line], interval_s)


@given(
    walk=walks,
    cut=st.integers(0, 3),
    interval_s=st.sampled_from([300, 900]),
    only=st.sampled_from(["", "a", "bc", "abc"]),
    together=st.booleans(),
)
def test_only_the_workers_that_were_asked_for_count(
    walk: Walk, cut: int, interval_s: int, only: str, *, together: bool
) -> None:
    some = [one for one in walk if one[1] in only]
    expected = courses(blocks(some, 300, cut), interval_s, SHARES, together=together)
    assert courses(blocks(walk, 300, cut), interval_s, SHARES, only=only, together=together) == expected


@given(walks, st.integers(0, 3))
def test_coarser_blocks_made_of_finer_ones_are_those_made_of_the_values(walk: Walk, cut: int) -> None:
    (whole,) = blocks(walk, 3600, 0)
    made = Block.of(EPOCH, merged(blocks(walk, 300, cut)).items())
    assert made._replace(totals=()) == whole._replace(totals=())
    assert made.totals == pytest.approx(whole.totals)


@given(walks, st.integers(0, 3))
def test_a_block_gives_back_what_it_was_made_of(walk: Walk, cut: int) -> None:
    for block in blocks(walk, 300, cut):
        assert Block.of(block.at, block.lines()) == block


@given(st.lists(values, min_size=1, max_size=3))
def test_where_values_are_at_hand_percentiles_are_exact(some: list[list[float]]) -> None:
    lines = [
        ((f"node-{number}", None), Figures.of(one)._replace(sketch=Sketch(sorted(one), [1] * len(one))))
        for number, one in enumerate(some)
    ]
    block = Block.of(EPOCH, lines, exact=True)
    for share in SHARES:
        assert block.percentiles(share) == [exact_percentile(sorted(one), share) for one in some]
    (course,) = courses([block], 300, SHARES, together=True).values()
    everything = sorted(value for one in some for value in one)
    assert [column[0] for column in course.percentiles] == [exact_percentile(everything, share) for share in SHARES]


def test_cores_have_figures_and_no_sketch() -> None:
    lines: list[tuple[Line, Figures]] = [(("a", number), Figures.of([number], sketched=False)) for number in (1, 2)]
    block = Block.of(EPOCH, lines)
    assert (block.variants, block.keys) == ((1, 2), [])
    assert merged([block, block]) == {("a", number): Figures(2, number, number, 2 * number, None) for number in (1, 2)}
