"""Time series as they are read: from the coarsest level that fits, and samples for what is not rolled up yet.

Rows are few (one for a hundred workers and a stretch) and fetched as columns; lines are made of them beside the event
loop.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain, compress, groupby
from operator import itemgetter
from typing import Any, Final, TypeVar

import asyncpg

from coordinator.domain.figures import FARM, Block, Course, Courses, Figures, Line, courses
from coordinator.domain.sketch import Sketch
from coordinator.domain.statistics import LEVELS, METRICS, Piece, Question, Span, Split, floor, pieces
from coordinator.operations.requests import NotFoundError
from coordinator.storage.packing import block_of
from coordinator.storage.pool import Connection
from coordinator.storage.queries import load
from coordinator.storage.reading import Reader
from schemas.views import ActivityReport, MetricView, Series, SeriesLine

T = TypeVar("T")

_SQL: Final = load("statistics")
_FINEST: Final = next(iter(LEVELS))
#: Percentiles of a span no longer than this are of the samples themselves, where they are kept.
_EXACT: Final = timedelta(hours=2)


class Statistics(Reader):
    """Answers questions about figures and time."""

    _SQL = _SQL

    def __init__(self, pool: Any, *, sample_days: int = 2) -> None:
        """Read through *pool*; samples are kept for *sample_days*."""
        super().__init__(pool)
        self._kept = timedelta(days=sample_days)

    async def now(self) -> datetime:
        """The farm's time."""
        (row,) = await self._fetch("levels")
        at: datetime = row["now"]
        return at

    async def metrics(self) -> list[MetricView]:
        """What is measured on this farm."""
        found = {row["metric"] for row in await self._fetch("metrics", _FINEST)}
        known = [MetricView(metric=name, unit=one.unit, what=one.what) for name, one in METRICS.items()]
        return known + [MetricView(metric=name, unit="", what="") for name in sorted(found - METRICS.keys())]

    async def series(self, asked: Question) -> Series:
        """The figures of each interval that has any."""
        async with self._snapshot() as connection:
            parts, exact = await self._parts(connection, asked)
            rolled, fresh = await _rows(connection, asked, parts, [asked.metric])
            if not rolled and not fresh and asked.metric not in METRICS:
                there = await connection.fetch(_SQL["metrics"], _FINEST)
                if asked.metric not in {row["metric"] for row in there}:
                    raise NotFoundError(f"there is no metric {asked.metric!r}; farmhand stats lists them")
        # There may be a million values to look at: not between two heartbeats.
        return await asyncio.to_thread(_series, asked, rolled, fresh, exact=exact)

    async def courses(self, asked: Question, metrics: Sequence[str], told: Callable[[Mapping[str, Courses]], T]) -> T:
        """What *told* makes, beside the event loop, of the figures of all *metrics*, without percentiles."""
        async with self._snapshot() as connection:
            parts, _ = await self._parts(connection, asked)
            rolled, fresh = await _rows(connection, asked, parts, metrics)

        def made() -> T:
            rows: dict[str, list[list[asyncpg.Record]]] = {}
            for number, some in enumerate((rolled, fresh)):
                for metric, own in groupby(some, key=itemgetter("metric")):
                    rows.setdefault(metric, [[], []])[number].extend(own)
            return told({metric: _courses(asked, *own, exact=False) for metric, own in rows.items()})

        return await asyncio.to_thread(made)

    async def activity(self, span: Span, only: Collection[str] | None = None) -> ActivityReport:
        """How many workers (*only* of these) were there in each interval, and how many of them held an attempt."""
        asked = Question("active", span, Split.WORKER)
        async with self._snapshot() as connection:
            (levels,) = await connection.fetch(_SQL["levels"])
            parts = pieces(span, {level: levels[level] for level in LEVELS})
            rolled = await connection.fetch(_SQL["figures"], *_windows(parts), *_wanted(asked, [asked.metric]))
            fresh = [
                row
                for part in parts
                if part.level is None
                for row in await connection.fetch(_SQL["present"], part.since, part.until, *_stretches(span))
            ]
        return await asyncio.to_thread(_activity, span, rolled, fresh, only)

    async def _parts(self, connection: Connection, asked: Question) -> tuple[list[Piece], bool]:
        """From where the figures come, and whether percentiles are exact."""
        (levels,) = await connection.fetch(_SQL["levels"])
        span = asked.span
        if asked.shares and span.until - span.since <= _EXACT and span.since > levels["now"] - self._kept:
            return [Piece(None, span.since, span.until)], True
        parts = pieces(span, {level: levels[level] for level in LEVELS})
        return parts, all(part.level is None for part in parts)


async def _rows(
    connection: Connection, asked: Question, parts: Sequence[Piece], metrics: Sequence[str]
) -> tuple[list[asyncpg.Record], list[asyncpg.Record]]:
    """What is rolled up, and what comes from samples, metric by metric."""
    rolled = await connection.fetch(_SQL["figures"], *_windows(parts), *_wanted(asked, metrics))
    fresh: list[asyncpg.Record] = []
    workers, interval = list(asked.workers) or None, _interval(asked.span)
    for part in parts:
        if part.level is None:
            await connection.execute(_SQL["planned"])
            for others in (False, True):
                some = [metric for metric in metrics if (metric not in METRICS) is others]
                if not some:
                    continue
                name, what = ("values", some[0]) if asked.shares else ("sums", some)
                fresh += await connection.fetch(
                    _SQL[name], part.since, part.until, what, interval, workers, asked.split, others
                )
    return rolled, fresh


def _windows(parts: Sequence[Piece]) -> tuple[list[str], list[datetime], list[datetime]]:
    """Levels, each from when to when."""
    rolled = [part for part in parts if part.level is not None]
    return [part.level or "" for part in rolled], [part.since for part in rolled], [part.until for part in rolled]


def _wanted(asked: Question, metrics: Sequence[str]) -> tuple[Sequence[str], str, bool, str | None, str | None]:
    """The parameters of `figures` after its windows."""
    workers = asked.workers
    ends = (min(workers), max(workers)) if workers else (None, None)
    return list(metrics), _stored(asked), bool(asked.shares), *ends


def _stored(asked: Question) -> Split:
    """Which figures the answer is made of: a farm's of some workers is made of theirs, and what has no variants has
    one."""
    if asked.split is Split.FARM and asked.workers:
        return Split.WORKER
    if asked.split is Split.VARIANT and asked.metric in METRICS and not METRICS[asked.metric].several:
        return Split.WORKER
    return asked.split


def _interval(span: Span) -> timedelta:
    return timedelta(seconds=span.interval_s)


def _stretches(span: Span) -> tuple[timedelta, timedelta]:
    """The interval, and what it is made of: the finest level where that divides it."""
    finest = LEVELS[_FINEST]
    return _interval(span), timedelta(seconds=span.interval_s if span.interval_s % finest else finest)


def _courses(
    asked: Question,
    rolled: Sequence[asyncpg.Record],
    fresh: Sequence[asyncpg.Record],
    *,
    exact: bool,
) -> Courses:
    """The lines that were asked for."""
    workers = asked.workers
    return courses(
        chain(_blocks(rolled), _measured(fresh, exact=exact) if asked.shares else _blocks(fresh)),
        asked.span.interval_s,
        asked.shares,
        only=frozenset([FARM, *workers]) if workers else None,
        together=asked.split is Split.FARM and _stored(asked) is Split.WORKER,
    )


def _series(
    asked: Question, rolled: Sequence[asyncpg.Record], fresh: Sequence[asyncpg.Record], *, exact: bool
) -> Series:
    found = _courses(asked, rolled, fresh, exact=exact)
    metric = METRICS.get(asked.metric)
    return Series(
        metric=asked.metric,
        unit=metric.unit if metric else "",
        since=asked.span.since,
        until=asked.span.until,
        interval_s=asked.span.interval_s,
        exact=exact,
        lines=[_line(line, course, asked) for line, course in found.items()],
    )


def _line(line: Line, course: Course, asked: Question) -> SeriesLine:
    worker, variant = line
    names = ["min", "max", "mean", *(f"p{share * 100:g}" for share in asked.shares)]
    columns = course.lows, course.highs, course.means, *course.percentiles
    return SeriesLine(
        worker=None if worker == FARM else worker,
        variant=(variant or 1) - 1 if asked.split is Split.VARIANT else None,
        at=list(course.at),
        count=list(course.counts),
        values={name: list(column) for name, column in zip(names, columns, strict=True)},
    )


def _blocks(rows: Sequence[asyncpg.Record]) -> Iterator[Block]:
    """Those of one metric."""
    return (block_of(row[1:]) for row in rows)


def _measured(rows: Sequence[asyncpg.Record], *, exact: bool) -> Iterator[Block]:
    """Blocks of samples' values."""
    for at, some in groupby(rows, key=itemgetter("at")):
        lines = []
        for worker, samples in groupby(some, key=itemgetter("worker")):
            lists = (row["values"] or () for row in samples)
            if values := [value for value in chain.from_iterable(lists) if value is not None]:
                figures = Figures.of(values, sketched=not exact)
                if exact:
                    figures = figures._replace(sketch=Sketch(sorted(values), [1] * len(values)))
                lines.append(((worker, None), figures))
        if lines:
            yield Block.of(at, lines, exact=exact)


def _activity(
    span: Span, rolled: Sequence[asyncpg.Record], fresh: Sequence[asyncpg.Record], only: Collection[str] | None
) -> ActivityReport:
    total: dict[datetime, set[str]] = defaultdict(set)
    active: dict[datetime, set[str]] = defaultdict(set)
    for row in rolled:
        at = floor(row["at"], span.interval_s)
        total[at].update(row["workers"])
        active[at].update(compress(row["workers"], row["highs"]))
    for row in fresh:
        total[row["at"]].update(row["total"])
        active[row["at"]].update(row["active"])
    if only is not None:
        named = frozenset(only)
        for some in (*total.values(), *active.values()):
            some.intersection_update(named)
    starts = list(span.starts())
    return ActivityReport(
        since=span.since,
        until=span.until,
        interval_s=span.interval_s,
        at=starts,
        total=[len(total[at]) for at in starts],
        active=[len(active[at]) for at in starts],
    )
