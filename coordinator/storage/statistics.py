"""Time series as they are read: from the coarsest level that fits, and samples for what is not rolled up yet."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import asyncpg

from coordinator.domain.statistics import LEVELS, METRICS, Piece, Span, percentile, pieces
from coordinator.operations.requests import NotFoundError
from coordinator.storage.queries import load
from coordinator.storage.reading import Connection, Reader
from schemas.views import ActivityReport, MetricView, Series, SeriesLine

_SQL: Final = load("statistics")
#: Percentiles of a span no longer than this are of the samples themselves, where they are kept.
_EXACT: Final = timedelta(hours=2)

#: (worker, interval) -> percentiles.
Shares: TypeAlias = dict[tuple[str | None, datetime], Sequence[float]]


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
            shares: Shares = {}
            if percentiles:
                shares = await self._shares(connection, asked, span, percentiles, exact=exact)
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

    async def _shares(
        self,
        connection: Connection,
        asked: tuple[Any, ...],
        span: Span,
        percentiles: Sequence[float],
        *,
        exact: bool,
    ) -> Shares:
        """The percentiles of each line and interval."""
        *_, metric, interval, workers, by_worker = asked
        if exact:
            found = await connection.fetch(
                _SQL["percentiles"], span.since, span.until, metric, interval, workers, by_worker, list(percentiles)
            )
            return {(row["worker"], row["at"]): row["values"] for row in found}
        sketches = await connection.fetch(_SQL["sketches"], *asked)
        # There may be a million counts to add up: not between two heartbeats.
        return await asyncio.to_thread(_merged, sketches, percentiles)


def _merged(sketches: Sequence[asyncpg.Record], percentiles: Sequence[float]) -> Shares:
    """The percentiles of sketches, those of one line and interval added up."""
    alone: dict[tuple[str | None, datetime], tuple[Sequence[int], Sequence[int]]] = {}
    added: dict[tuple[str | None, datetime], dict[int, int]] = {}
    for worker, at, keys, tallies in sketches:
        key = worker, at
        if key not in alone:
            alone[key] = keys, tallies
            continue
        sums = added.get(key)
        if sums is None:
            sums = added[key] = dict(zip(*alone[key], strict=True))
        for bucket, tally in zip(keys, tallies, strict=True):
            sums[bucket] = sums.get(bucket, 0) + tally
    for key, sums in added.items():
        ordered = sorted(sums.items())
        alone[key] = [bucket for bucket, _ in ordered], [tally for _, tally in ordered]
    return {key: [percentile(*one, share) for share in percentiles] for key, one in alone.items()}


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


def _lines(rows: Sequence[asyncpg.Record], shares: Shares, percentiles: Sequence[float]) -> list[SeriesLine]:
    names = [f"p{share * 100:g}" for share in percentiles]
    lines = []
    for row in rows:
        worker, variant, at, low, high = row["worker"], row["variant"], row["at"], row["min"], row["max"]
        values = {"min": low, "max": high, "mean": row["mean"]}
        for index, name in enumerate(names):
            # A sketch's bucket may reach beyond what was ever measured.
            values[name] = [
                min(max(shares[worker, one][index], least), most)
                for one, least, most in zip(at, low, high, strict=True)
            ]
        variant = None if variant is None else variant - 1
        lines.append(SeriesLine(worker=worker, variant=variant, at=at, count=row["count"], values=values))
    return lines
