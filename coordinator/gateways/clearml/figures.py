"""Figures over time, from the farm's own time series (ClearML API, workers.get_stats and get_activity_report).

Each report is a sample, at the time at which it came. Intervals (see `intervals`) are whole and counted from 1970;
answers' dates are in milliseconds.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

from coordinator.api.reads import Figures
from coordinator.domain.figures import Course, Courses
from coordinator.domain.statistics import Question, Split
from coordinator.gateways.clearml import translate, wire
from coordinator.gateways.clearml.envelope import WRONG_VALUE, Operation, listing, refused
from coordinator.gateways.clearml.intervals import asked_of, span_of
from coordinator.gateways.clearml.translate import PROTOCOL, Caller
from coordinator.gateways.kit import Gate
from coordinator.operations.requests import UnavailableError

_NUMBERS: Final = {"type": "array", "items": {"type": "number"}}
_SERIES: Final = listing(dates=_NUMBERS, counts=_NUMBERS)
_OF_ONE: Final = listing(worker={"type": "string"}, metrics={"type": "array"})
_STATS: Final = listing(workers={"type": "array", "items": _OF_ONE})


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
        roster = await self._gate.holdings.roster(PROTOCOL)
        span = span_of(asked_of(said, roster, roster), self._gate.settings, complete=True)
        found = await self._figures().activity(span, {one.worker for one in roster})
        dates = [_milliseconds(at) for at in found.at]
        return {
            "total": {"dates": dates, "counts": found.total},
            "active": {"dates": dates, "counts": found.active},
        }

    async def get_stats(self, _: Caller, said: wire.Stats) -> bytes:
        """The figures of each interval in which there are any, worker by worker, metric by metric."""
        wanted = frozenset(said.worker_ids)
        everybody = await self._gate.holdings.roster(PROTOCOL)
        roster = [one for one in everybody if not wanted or one.foreign_id in wanted]
        items = _asked(said.items)
        asked = asked_of(said, roster, everybody, len(items), sum(map(len, items.values())))
        span = span_of(asked, self._gate.settings, complete=False)
        ids = {one.worker: one.foreign_id for one in roster}
        split = Split.VARIANT if said.split_by_variant else Split.WORKER
        metrics = [translate.metric_of(key) for key in items] if ids else []
        question = Question("", span, split, list(ids))
        return await self._figures().courses(question, metrics, partial(_written, items, ids, split))

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


def _written(
    items: Mapping[str, Sequence[str]], ids: Mapping[str, str], split: Split, found: Mapping[str, Courses]
) -> bytes:
    """The answer as JSON: there may be a hundred thousand numbers in it."""
    metrics: dict[str, list[str]] = {}
    dates = _Dates()
    for key, ways in items.items():
        for (worker, number), course in found.get(translate.metric_of(key), {}).items():
            variant = _variant(key, number) if split is Split.VARIANT else None
            metrics.setdefault(ids[worker], []).append(_metric(key, variant, ways, course, dates.text(course.at)))
    workers = (
        f'{{"worker":{json.dumps(worker)},"metrics":[{",".join(metrics[worker])}]}}' for worker in sorted(metrics)
    )
    return f'{{"workers":[{",".join(workers)}]}}'.encode()


class _Dates:
    """Times as a list in milliseconds: most lines have the same."""

    def __init__(self) -> None:
        self._texts: dict[int, str] = {}

    def text(self, at: Sequence[datetime]) -> str:
        """These, which outlive this."""
        text = self._texts.get(id(at))
        if text is None:
            text = self._texts[id(at)] = json.dumps([_milliseconds(one) for one in at])
        return text


def _variant(key: str, number: int | None) -> str:
    return "total" if key in translate.TOTAL else str((number or 1) - 1)


def _metric(key: str, variant: str | None, ways: Sequence[str], course: Course, dates: str) -> str:
    """Dates stand at both levels: clients of different ages read one or the other."""
    stats = ",".join(
        f'{{"aggregation":"{how}","dates":{dates},"values":{translate.written(translate.AGGREGATIONS[how](course))}}}'
        for how in ways
    )
    named = "" if variant is None else f'"variant":"{variant}",'
    return f'{{"metric":{json.dumps(key)},{named}"dates":{dates},"stats":[{stats}]}}'


def _milliseconds(at: datetime) -> int:
    return round(at.timestamp() * 1000)
