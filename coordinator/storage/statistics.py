"""Time series as they are read: from the coarsest level that fits, and samples for what is not rolled up yet."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from coordinator.domain.statistics import LEVELS, METRICS, Piece, Span, percentile, pieces
from coordinator.operations.requests import NotFoundError
from coordinator.storage.queries import load
from coordinator.storage.reading import Connection, Reader
from schemas.views import ActivityReport, MetricView, Series, SeriesLine

_SQL: Final = load("statistics")
#: Percentiles of a span no longer than this are of the samples themselves, where they are kept.
_EXACT: Final = timedelta(hours=2)

Key = tuple[str | None, int | None]


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
        found = {row["metric"] for row in await self._fetch("metrics", "5m")}
        known = [MetricView(metric=name, unit=one.unit, what=one.what) for name, one in METRICS.items()]
        return known + [MetricView(metric=name, unit="", what="") for name in sorted(found - METRICS.keys())]

    async def series(
        self,
        metric: str,
        span: Span,
        *,
        workers: Sequence[str] | None,
        by_worker: bool,
        by_variant: bool,
        percentiles: Sequence[float] = (),
    ) -> Series:
        """The figures of each interval that has any."""
        async with self._snapshot() as connection:
            levels = await connection.fetchrow(_SQL["levels"])
            assert levels is not None  # noqa: S101 - it has no table to miss
            parts = pieces(span, {level: levels[level] for level in LEVELS})
            asked = (*_windows(parts), metric, timedelta(seconds=span.interval_s), workers and list(workers), by_worker)
            rows = await connection.fetch(_SQL["series_of_variants" if by_variant else "series"], *asked)
            if (
                not rows
                and metric not in METRICS
                and metric not in {row["metric"] for row in await connection.fetch(_SQL["metrics"], "5m")}
            ):
                raise NotFoundError(f"there is no metric {metric!r}; farmhand stats lists them")
            exact = all(part.level is None for part in parts) or (
                span.until - span.since <= _EXACT and span.since > levels["now"] - self._kept
            )
            shares = {}
            if percentiles:
                get = self._exact if exact else self._sketched
                shares = await get(connection, asked, span, rows, percentiles)
        return Series(
            metric=metric,
            unit=METRICS[metric].unit if metric in METRICS else "",
            since=span.since,
            until=span.until,
            interval_s=span.interval_s,
            exact=exact,
            lines=_lines(rows, shares, percentiles),
        )

    async def activity(self, span: Span) -> ActivityReport:
        """How many workers were there in each interval, and how many of them held an attempt."""
        async with self._snapshot() as connection:
            levels = await connection.fetchrow(_SQL["levels"])
            assert levels is not None  # noqa: S101 - it has no table to miss
            windows = _windows(pieces(span, {level: levels[level] for level in LEVELS}))
            rows = await connection.fetch(_SQL["activity"], *windows, timedelta(seconds=span.interval_s))
        found = {row["at"]: row for row in rows}
        starts = list(span.starts())
        return ActivityReport(
            since=span.since,
            until=span.until,
            interval_s=span.interval_s,
            at=starts,
            total=[found[at]["total"] if at in found else 0 for at in starts],
            active=[found[at]["active"] if at in found else 0 for at in starts],
        )

    async def _exact(
        self,
        connection: Connection,
        asked: tuple[Any, ...],
        span: Span,
        _rows: Sequence[asyncpg.Record],
        percentiles: Sequence[float],
    ) -> dict[tuple[str | None, datetime], list[float]]:
        *_, metric, interval, workers, by_worker = asked
        found = await connection.fetch(
            _SQL["percentiles"], span.since, span.until, metric, interval, workers, by_worker, list(percentiles)
        )
        return {(row["worker"], row["at"]): row["values"] for row in found}

    async def _sketched(
        self,
        connection: Connection,
        asked: tuple[Any, ...],
        _span: Span,
        rows: Sequence[asyncpg.Record],
        percentiles: Sequence[float],
    ) -> dict[tuple[str | None, datetime], list[float]]:
        ends = {(row["worker"], row["at"]): (row["min"], row["max"]) for row in rows}
        found = {}
        for row in await connection.fetch(_SQL["sketches"], *asked):
            low, high = ends[key := (row["worker"], row["at"])]
            found[key] = [percentile(row["keys"], row["tallies"], share, low=low, high=high) for share in percentiles]
        return found


def _windows(parts: Sequence[Piece]) -> tuple[list[str], list[datetime], list[datetime], datetime, datetime]:
    """Levels, each from when to when; then those of the samples (an empty time when none are needed)."""
    rolled = [part for part in parts if part.level is not None]
    raw = next((part for part in parts if part.level is None), None)
    end = parts[-1].until
    return (
        [part.level or "" for part in rolled],
        [part.since for part in rolled],
        [part.until for part in rolled],
        raw.since if raw else end,
        raw.until if raw else end,
    )


def _lines(
    rows: Sequence[asyncpg.Record],
    shares: Mapping[tuple[str | None, datetime], Sequence[float]],
    percentiles: Sequence[float],
) -> list[SeriesLine]:
    lines: dict[Key, dict[str, Any]] = {}
    names = [f"p{share * 100:g}" for share in percentiles]
    for worker, variant, at, count, low, high, total in rows:
        line = lines.get((worker, variant))
        if line is None:
            columns: dict[str, list[Any]] = {name: [] for name in ("at", "count", "min", "max", "mean", *names)}
            line = lines[worker, variant] = columns
        line["at"].append(at)
        line["count"].append(count)
        line["min"].append(low)
        line["max"].append(high)
        line["mean"].append(total / count)
        for name, value in zip(names, shares[worker, at] if names else (), strict=True):
            line[name].append(value)
    return [
        SeriesLine(
            worker=worker, variant=None if variant is None else variant - 1, at=line.pop("at"),
            count=line.pop("count"), values=line,
        )
        for (worker, variant), line in lines.items()
    ]  # fmt: skip
