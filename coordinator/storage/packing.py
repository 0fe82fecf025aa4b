"""Blocks of figures as rows: sketches are packed into bytes, which cost nothing to fetch that nobody looks at."""

import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Any, Final

from coordinator.domain.figures import Block

_SMALL: Final = 1 << 31


def row_of(level: str, metric: str, split: str, block: Block) -> tuple[Any, ...]:
    """The parameters of statement `put`."""
    keys, ends = _bytes("h", block.keys), _bytes(_width(block.counts), block.ends)
    return level, metric, split, block.at, block.workers[0], block.workers[-1], *block[1:7], keys, ends


def block_of(row: Iterable[Any]) -> Block:
    """A row of `figures`, with its sketches when they were fetched."""
    at, workers, variants, counts, lows, highs, totals, keys, ends = row
    if keys is None:
        return Block(at, workers, variants, counts, lows, highs, totals, (), ())
    return Block(at, workers, variants, counts, lows, highs, totals, _array("h", keys), _array(_width(counts), ends))


def _width(counts: Sequence[int]) -> str:
    return "i" if sum(counts) < _SMALL else "q"


def _bytes(code: str, numbers: Sequence[Any]) -> bytes:
    packed = array(code, numbers)
    if sys.byteorder == "little":
        packed.byteswap()
    return packed.tobytes()


def _array(code: str, packed: bytes) -> Sequence[int]:
    numbers = array(code, packed)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers
