"""Sketches: how many values there were of which size, in little room, so that percentiles of parts can be put together.

A sketch counts values in buckets that each grow by `GROWTH`: so the middle of a bucket is at most 1 % away from
whatever lies in it, and sketches of parts added up are the sketch of the whole. (The idea: DDSketch, Masson and others,
2019.)
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, repeat
from math import ceil, log
from operator import sub, truediv
from typing import Final, NamedTuple

GROWTH: Final = 1.01 / 0.99
SMALLEST: Final = 0.001
#: The bucket of what is below the smallest. Figures are below 1e31, so that every key has its place in two bytes.
NOUGHT: Final = -32768

_STEP: Final = log(GROWTH)


def sketch_key(value: float) -> int:
    """Which bucket holds *value*."""
    return NOUGHT if value < SMALLEST else ceil(log(value) / _STEP)


def middle(key: float) -> float:
    """What stands for the values of a bucket."""
    return 0.0 if key == NOUGHT else 2 * GROWTH**key / (GROWTH + 1)


def rank(share: float, count: int) -> int:
    """Which of *count* values in order, from 1, *share* (0 to 1) of them do not exceed."""
    return max(ceil(share * count), 1)


class Sketch(NamedTuple):
    """Buckets in order, and how many values each holds."""

    keys: Sequence[float]
    tallies: Sequence[int]

    def percentile(self, share: float) -> float:
        """The value that *share* of the values counted do not exceed: at most 1 % off."""
        ends = list(accumulate(self.tallies))
        return middle(self.keys[bisect_left(ends, rank(share, ends[-1]))])


def sketch_of(values: Sequence[float], low: float, high: float) -> Sketch:
    """The sketch of *values*, of which there is one at least, from *low* to *high*."""
    if low == high:
        return Sketch([sketch_key(low)], [len(values)])
    above = values if low >= SMALLEST else [value for value in values if value >= SMALLEST]
    # As sketch_key, a column at a time.
    keys = [NOUGHT] * (len(values) - len(above)) + sorted(map(ceil, map(truediv, map(log, above), repeat(_STEP))))
    held = sorted(set(keys))
    ends = [bisect_right(keys, key) for key in held]
    return Sketch(held, list(map(sub, ends, [0, *ends])))


def summed(sketches: Iterable[Sketch]) -> Sketch:
    """One sketch of all."""
    sums: dict[float, int] = {}
    for sketch in sketches:
        for key, tally in zip(sketch.keys, sketch.tallies, strict=True):
            sums[key] = sums.get(key, 0) + tally
    keys = sorted(sums)
    return Sketch(keys, [sums[key] for key in keys])


def exact_percentile(ordered: Sequence[float], share: float) -> float:
    """The same of values themselves, in order."""
    return ordered[rank(share, len(ordered)) - 1]
