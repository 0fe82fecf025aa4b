"""Figures over time, from the farm's own time series (ClearML API, workers.get_stats and get_activity_report).

Each report is a sample, at the time at which it came. Intervals are whole and counted from 1970; answers' dates are in
milliseconds.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from coordinator.api.reads import Figures
from coordinator.domain.statistics import Question, Span, Split, floor
from coordinator.gateways.clearml import translate, wire
from coordinator.gateways.clearml.envelope import WRONG_VALUE, Operation, listing, refused
from coordinator.gateways.clearml.translate import PROTOCOL, Caller
from coordinator.gateways.kit import Gate
from coordinator.operations.requests import NotFoundError, UnavailableError
from schemas.views import SeriesLine

MOST_INTERVALS: Final = 20_000
_NUMBERS: Final = {"type": "array", "items": {"type": "number"}}
_SERIES: Final = listing(dates=_NUMBERS, counts=_NUMBERS)
_OF_ONE: Final = listing(worker={"type": "string"}, metrics={"type": "array"})
_STATS: Final = listing(workers={"type": "array", "items": _OF_ONE})


def span_of(said: wire.ActivityReport, *, complete: bool) -> Span:
    """The intervals that are asked for; only those that are *complete*. Raises Fault 400/16."""
    if said.from_date >= said.to_date:
        raise refused(WRONG_VALUE, "from_date must be before to_date", fields=["from_date", "to_date"])
    if (said.to_date - said.from_date) / said.interval > MOST_INTERVALS:
        raise refused(
            WRONG_VALUE, f"more than {MOST_INTERVALS} intervals: ask for longer ones, or less", fields=["interval"]
        )
    try:
        since, until = (datetime.fromtimestamp(at, UTC) for at in (said.from_date, said.to_date))
        last = floor(until, said.interval) + timedelta(seconds=said.interval)
    except (ValueError, OverflowError, OSError):
        raise refused(WRONG_VALUE, "dates are seconds since 1970", fields=["from_date", "to_date"]) from None
    if complete:
        return Span(floor(since, said.interval), last - timedelta(seconds=said.interval), said.interval)
    return Span.holding(since, until, said.interval)


class Charts:
    """Their operations."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def operations(self) -> list[Operation]:
        """Both."""
        return [
            Operation("workers.get_stats", wire.Stats, _STATS, self.get_stats),
            Operation(
                "workers.get_activity_report",
                wire.ActivityReport,
                listing(total=_SERIES, active=_SERIES),
                self.get_activity_report,
            ),
        ]

    async def get_activity_report(self, _: Caller, said: wire.ActivityReport) -> dict[str, Any]:
        """How many workers there were in each complete interval, and how many of them had a task."""
        span = span_of(said, complete=True)
        names = {one.worker for one in await self._gate.holdings.roster(PROTOCOL)}
        found = await self._figures().activity(span, names)
        dates = [_milliseconds(at) for at in found.at]
        return {
            "total": {"dates": dates, "counts": found.total},
            "active": {"dates": dates, "counts": found.active},
        }

    async def get_stats(self, _: Caller, said: wire.Stats) -> dict[str, Any]:
        """The figures of each interval in which there are any, worker by worker, metric by metric."""
        span = span_of(said, complete=False)
        wanted = frozenset(said.worker_ids)
        ids = {
            one.worker: one.foreign_id
            for one in await self._gate.holdings.roster(PROTOCOL)
            if not wanted or one.foreign_id in wanted
        }
        found: dict[str, list[dict[str, Any]]] = {}
        for key, aggregations in _asked(said.items).items() if ids else ():
            for line in await self._lines(key, span, list(ids), by_variant=bool(said.split_by_variant)):
                worker = ids.get(line.worker or "")
                if worker is not None:
                    variant = _variant(key, line) if said.split_by_variant else None
                    found.setdefault(worker, []).append(_metric(key, variant, aggregations, line))
        return {"workers": [{"worker": worker, "metrics": found[worker]} for worker in sorted(found)]}

    async def _lines(self, key: str, span: Span, workers: Sequence[str], *, by_variant: bool) -> Sequence[SeriesLine]:
        split = Split.VARIANT if by_variant else Split.WORKER
        try:
            return (await self._figures().series(Question(translate.metric_of(key), span, split, workers))).lines
        except NotFoundError:
            return ()

    def _figures(self) -> Figures:
        if self._gate.farm.figures is None:
            raise UnavailableError("this coordinator keeps no statistics")
        return self._gate.farm.figures


def _asked(items: Sequence[wire.StatItem]) -> Mapping[str, Sequence[str]]:
    """Metric -> the ways in which it is summed up, each once. Raises Fault 400/16."""
    asked: dict[str, list[str]] = {}
    for item in items:
        how = item.aggregation or "avg"
        if how not in translate.AGGREGATIONS:
            raise refused(WRONG_VALUE, f"aggregation is one of {', '.join(translate.AGGREGATIONS)}", fields=["items"])
        if how not in asked.setdefault(item.key, []):
            asked[item.key].append(how)
    return asked


def _variant(key: str, line: SeriesLine) -> str:
    return "total" if key in translate.TOTAL else str(line.variant or 0)


def _metric(key: str, variant: str | None, aggregations: Sequence[str], line: SeriesLine) -> dict[str, Any]:
    """Dates stand at both levels: clients of different ages read one or the other."""
    dates = [_milliseconds(at) for at in line.at]
    stats = []
    for how in aggregations:
        values = [translate.plain(value) for value in line.values[translate.AGGREGATIONS[how]]]
        stats.append({"aggregation": how, "dates": dates, "values": values})
    return {"metric": key, **({} if variant is None else {"variant": variant}), "dates": dates, "stats": stats}


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
