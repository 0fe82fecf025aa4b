"""Figures of many lines (workers, their cores) side by side: made of values, put together, read as lines over time.

A `Block` holds one metric in one stretch of time as columns, a place for each line. That is how it is stored and
fetched: a farm of a hundred workers is one row, not a hundred.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate, chain, pairwise, repeat, starmap
from operator import add, sub, truediv
from typing import Any, Final, NamedTuple, TypeAlias

from coordinator.domain.sketch import Sketch, middle, rank, sketch_of, summed
from coordinator.domain.statistics import floor

#: The name of the line of all workers together; no worker is called that.
FARM: Final = ""

#: A worker, and which of its cores or GPUs (from 1; None: of all together).
Line: TypeAlias = tuple[str, int | None]


class Figures(NamedTuple):
    """What is known of some values."""

    n: int
    low: float
    high: float
    total: float
    #: None where nobody asks for percentiles: of single cores.
    sketch: Sketch | None

    @classmethod
    def of(cls, values: Sequence[float], *, sketched: bool = True) -> "Figures":
        """The figures of *values*, of which there is one at least; with a sketch or without."""
        low, high = min(values), max(values)
        return cls(len(values), low, high, sum(values), sketch_of(values, low, high) if sketched else None)

    @classmethod
    def together(cls, parts: Sequence["Figures"]) -> "Figures":
        """The figures of all *parts*."""
        if len(parts) == 1:
            return parts[0]
        counts, lows, highs, totals, sketches = zip(*parts, strict=True)
        sketch = None if None in sketches else summed(sketches)
        return cls(sum(counts), min(lows), max(highs), sum(totals), sketch)


class Block(NamedTuple):
    """One metric in one stretch: the n-th of each column is one line. The sketches lie one after another: up to bucket
    *i* of `keys` there are `ends[i]` values, counted through all lines. Where it is exact, its buckets are values."""

    at: datetime
    workers: Sequence[str]
    variants: Sequence[int] | None
    counts: Sequence[int]
    lows: Sequence[float]
    highs: Sequence[float]
    totals: Sequence[float]
    keys: Sequence[float]
    ends: Sequence[int]
    exact: bool = False

    @classmethod
    def of(cls, at: datetime, lines: Iterable[tuple[Line, Figures]], *, exact: bool = False) -> "Block":
        """A block of *lines*: all of workers, or all of their variants."""
        names, figures = zip(*lines, strict=True)
        workers, variants = zip(*names, strict=True)
        counts, lows, highs, totals, found = zip(*figures, strict=True)
        sketches = [one for one in found if one is not None]
        keys = list(chain.from_iterable(one.keys for one in sketches))
        ends = list(accumulate(chain.from_iterable(one.tallies for one in sketches)))
        return cls(at, workers, variants if any(variants) else None, counts, lows, highs, totals, keys, ends, exact)

    def names(self) -> list[Line]:
        """Its lines."""
        return list(zip(self.workers, self.variants or repeat(None), strict=False))

    def lines(self) -> Iterator[tuple[Line, Figures]]:
        """What it was made of."""
        tallies = list(map(sub, self.ends, chain((0,), self.ends)))
        edges = map(bisect_right, repeat(self.ends), accumulate(self.counts, initial=0))
        sketches = (Sketch(self.keys[edge:until], tallies[edge:until]) for edge, until in pairwise(edges))
        columns = self.counts, self.lows, self.highs, self.totals, sketches if self.keys else repeat(None)
        figures = zip(*columns, strict=False)
        return zip(self.names(), starmap(Figures, figures), strict=True)

    def percentiles(self, share: float, places: Sequence[int] | None = None) -> list[float]:
        """Of each line (or those at *places*) the value that *share* of its values do not exceed."""
        starts = list(accumulate(self.counts, initial=0))
        if places is None:
            places = range(len(self.counts))
        counts = [self.counts[place] for place in places]
        lows, highs = ([column[place] for place in places] for column in (self.lows, self.highs))
        ranks = {n: rank(share, n) for n in set(counts)}
        wanted = map(add, map(starts.__getitem__, places), map(ranks.__getitem__, counts))
        keys = map(self.keys.__getitem__, map(bisect_left, repeat(self.ends), wanted))
        values = keys if self.exact else map(_MIDDLES.__getitem__, keys)
        # A bucket may reach beyond what was ever measured.
        return list(map(min, map(max, values, lows), highs))


class _Middles(dict[float, float]):
    def __missing__(self, key: float) -> float:
        self[key] = found = middle(key)
        return found


_MIDDLES: Final = _Middles()


def merged(
    blocks: Iterable[Block], only: Container[str] | None = None, *, together: bool = False
) -> dict[Line, Figures]:
    """What *blocks* of one metric hold, line by line in order; of workers *only*; or all *together*, as the farm's."""
    parts: dict[Line, list[Figures]] = {}
    for block in blocks:
        for line, figures in block.lines():
            if only is None or line[0] in only:
                parts.setdefault((FARM, None) if together else line, []).append(figures)
    return {line: Figures.together(parts[line]) for line in sorted(parts, key=by_name)}


def by_name(line: Line) -> tuple[str, int]:
    """The order of lines."""
    worker, variant = line
    return worker, variant or 0


class Course(NamedTuple):
    """A line over time: the n-th of each column is one interval."""

    at: Sequence[datetime]
    counts: Sequence[int]
    lows: Sequence[float]
    highs: Sequence[float]
    means: Sequence[float]
    #: For each share that was asked for.
    percentiles: Sequence[Sequence[float]]


#: Lines over time, in order.
Courses: TypeAlias = Mapping[Line, Course]
#: The same as one: times, counts, least, greatest, means, and percentiles.
_Columns: TypeAlias = Sequence[Sequence[Any]]


def courses(
    blocks: Iterable[Block],
    interval_s: int,
    shares: Sequence[float] = (),
    *,
    only: Container[str] | None = None,
    together: bool = False,
) -> dict[Line, Course]:
    """The lines that *blocks* of one metric hold, in intervals of *interval_s*, with the percentiles *shares*."""
    intervals: dict[datetime, list[Block]] = {}
    for block in blocks:
        intervals.setdefault(floor(block.at, interval_s), []).append(block)
    runs: dict[Sequence[Line], list[Block]] = {}
    for at in sorted(intervals):
        some = intervals[at]
        if together or not _disjoint(some):
            lines = merged(some, only, together=together)
            some = [Block.of(at, lines.items(), exact=some[0].exact)] if lines else []
        for block in some:
            runs.setdefault(tuple(block.names()), []).append(block._replace(at=at))
    parts: dict[Line, list[_Columns]] = {}
    for names, run in runs.items():
        places = [place for place, line in enumerate(names) if only is None or together or line[0] in only]
        for place, columns in zip(places, _turned(run, shares, places), strict=False):
            parts.setdefault(names[place], []).append(columns)
    return {line: _course(parts[line]) for line in sorted(parts, key=by_name)}


def _disjoint(blocks: Sequence[Block]) -> bool:
    """No line is in two of them."""
    names = [name for block in blocks for name in block.names()] if len(blocks) > 1 else []
    return len(set(names)) == len(names)


def _turned(run: Sequence[Block], shares: Sequence[float], places: Sequence[int]) -> Iterator[_Columns]:
    """Of the lines at *places* of *run*, all blocks of which have the same lines: a column for each figure."""
    at = tuple(block.at for block in run)
    means: list[Sequence[float]] = [list(map(truediv, block.totals, block.counts)) for block in run]
    columns: list[list[Sequence[float]]] = [
        [block.counts for block in run],
        [block.lows for block in run],
        [block.highs for block in run],
        means,
    ]
    figures = [list(zip(*column, strict=True)) for column in columns]
    percentiles = (zip(*(block.percentiles(share, places) for block in run), strict=True) for share in shares)
    return zip(repeat(at), *([column[place] for place in places] for column in figures), *percentiles, strict=False)


def _course(parts: Sequence[_Columns]) -> Course:
    columns = parts[0]
    if len(parts) > 1:
        # Who comes and goes is in several runs; a line has one place in each interval.
        places = sorted(chain.from_iterable(zip(*one, strict=True) for one in parts))
        columns = list(zip(*places, strict=True))
    at, counts, lows, highs, means, *percentiles = columns
    return Course(at, counts, lows, highs, means, percentiles)
