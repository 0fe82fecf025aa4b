"""What the samples of a stretch say: each metric's values of each worker, made into blocks."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import chain, groupby, islice, zip_longest
from operator import itemgetter
from typing import Any, Final, TypeAlias

import asyncpg

from coordinator.domain.figures import FARM, Block, Figures, Line

#: metric -> the column of samples that holds it.
_ONE: Final = {
    "cpu": "cpu",
    "memory_used": "memory_used",
    "memory_total": "memory_total",
    "disk_used": "disk_used",
    "disk_total": "disk_total",
    "network_received": "network_received",
    "network_sent": "network_sent",
    "load": "load",
    "load5": "load5",
    "load15": "load15",
}
#: The same of those that have one value for each core or GPU.
_EACH: Final = {
    "core": "cores",
    "gpu": "gpu",
    "gpu_memory_used": "gpu_memory_used",
    "gpu_memory_total": "gpu_memory_total",
    "gpu_temperature": "gpu_temperature",
}
#: metric -> what of what, in percent.
_SHARES: Final = {"memory": ("memory_used", "memory_total"), "disk": ("disk_used", "disk_total")}

_LARGEST: Final = 1e30

#: split -> the most workers of a block: whoever asks for one of a large farm does not read them all.
WIDEST: Final = {"farm": 1, "worker": 128, "variant": 16}

#: A metric of a worker: its values, or those of each core or GPU.
_Values: TypeAlias = tuple[str, Sequence[float], Sequence[Sequence[float]] | None]
#: (metric, split) -> lines.
Lines: TypeAlias = dict[tuple[str, str], list[tuple[Line, Figures]]]


def lines_of(samples: Sequence[asyncpg.Record], worked: Collection[str]) -> Lines:
    """The lines of workers, and of their cores and GPUs, in *samples* that lie worker by worker. Those in *worked* were
    active."""
    lines: Lines = defaultdict(list)
    names = list(samples[0].keys()) if samples else []
    for worker, some in groupby(samples, key=itemgetter("worker_id")):
        columns = dict(zip(names, zip(*some, strict=True), strict=True))
        for metric, values, variants in _values(columns):
            figures = Figures.of(values)
            if metric == "active" and worker in worked:
                figures = figures._replace(high=1.0)
            lines[metric, "worker"].append(((worker, None), figures))
            for number, part in enumerate(variants or (), 1):
                if part:
                    lines[metric, "variant"].append(((worker, number), Figures.of(part, sketched=False)))
    return lines


def farm_of(parts: Sequence[Figures]) -> list[tuple[Line, Figures]]:
    """The farm's line: all workers together."""
    return [((FARM, None), Figures.together(parts))]


def blocks_of(
    at: datetime, lines: Mapping[tuple[str, str], Iterable[tuple[Line, Figures]]]
) -> Iterator[tuple[str, str, Block]]:
    """The blocks of each metric and split; a worker's lines, which lie together, stay together."""
    for (metric, split), some in lines.items():
        by_worker = (list(own) for _, own in groupby(some, key=lambda line: line[0][0]))
        while part := list(islice(by_worker, WIDEST[split])):
            yield metric, split, Block.of(at, chain.from_iterable(part))


def _values(columns: Mapping[str, Sequence[Any]]) -> Iterator[_Values]:
    """The metrics that a worker's samples have."""
    for metric, column in _ONE.items():
        values = _known(columns[column])
        if values:
            yield metric, values, None
    for metric, (part, whole) in _SHARES.items():
        pairs = zip(columns[part], columns[whole], strict=True)
        if shares := [_limited(100 * some / all_) for some, all_ in pairs if some is not None and all_]:
            yield metric, shares, None
    held = columns["held"]
    yield "held", held, None
    yield "active", [float(one > 0) for one in held], None
    for metric, column in _EACH.items():
        yield from _several(metric, columns[column])
    others = [one for one in columns["extra"] if one]
    for metric in sorted(set(chain.from_iterable(others)) - _TAKEN):
        yield from _several(metric, [list(map(_limited, one.get(metric, ()))) for one in others])


def _several(metric: str, lists: Sequence[Sequence[float] | None]) -> Iterator[_Values]:
    """A metric with one value for each core or GPU."""
    variants = [_known(column) for column in zip_longest(*filter(None, lists))]
    if values := list(chain.from_iterable(variants)):
        yield metric, values, variants


def _limited(value: float) -> float:
    """A number as figures are kept: of single precision."""
    return max(-_LARGEST, min(_LARGEST, float(value)))


def _known(values: Sequence[float | None]) -> Sequence[float]:
    return [value for value in values if value is not None] if None in values else values  # type: ignore[return-value]


_TAKEN: Final = frozenset([*_ONE, *_EACH, *_SHARES, "held", "active"])
