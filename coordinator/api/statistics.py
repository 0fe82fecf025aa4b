"""Figures of machines over time: metrics, series, activity; as JSON, or CSV for a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Response
from pydantic import AwareDatetime

from coordinator.api.farm import FarmHere
from coordinator.api.problems import ProblemError
from coordinator.api.reads import Figures
from coordinator.domain.statistics import Question, Span, Split, fitting_interval_s
from coordinator.operations.requests import UnavailableError
from schemas.base import WorkerName
from schemas.views import ActivityReport, MetricView, Series

MOST_INTERVALS: Final = 20_000
_HUNDRED: Final = 100.0
_PLAIN: Final = ("min", "max", "mean")

router = APIRouter(prefix="/statistics", tags=["statistics"])


Aggregation = Annotated[str, Query(pattern=r"^(min|max|mean|p\d{1,2}(\.\d{1,3})?|p100)$")]


def figures_of(farm: FarmHere) -> Figures:
    """Where the figures are."""
    if farm.figures is None:
        raise UnavailableError("this coordinator keeps no statistics")
    return farm.figures


FiguresHere = Annotated[Figures, Depends(figures_of)]


async def span_of(
    figures: FiguresHere,
    since: Annotated[AwareDatetime | None, Query(description="else an hour before `until`")] = None,
    until: Annotated[AwareDatetime | None, Query(description="else now")] = None,
    interval: Annotated[int | None, Query(ge=1, le=366 * 86400, description="seconds; else what fits")] = None,
) -> Span:
    """The time that is asked for, in whole intervals counted from 1970."""
    until = until or await figures.now()
    since = since or until - timedelta(hours=1)
    seconds = (until - since).total_seconds()
    if seconds <= 0:
        raise ProblemError(422, "`since` has to be before `until`", field="since", kind="invalid")
    interval = interval or fitting_interval_s(seconds)
    if seconds / interval > MOST_INTERVALS:
        raise ProblemError(
            422, f"that is more than {MOST_INTERVALS} intervals: ask for longer ones", field="interval", kind="invalid"
        )
    return Span.holding(since, until, interval)


SpanHere = Annotated[Span, Depends(span_of)]


async def series_of(
    figures: FiguresHere,
    span: SpanHere,
    metric: Annotated[str, Query(max_length=100)],
    worker: Annotated[list[WorkerName] | None, Query(max_length=1000, description="these; else all")] = None,
    split: Split = Split.FARM,
    aggregation: Annotated[list[Aggregation] | None, Query(max_length=20, description="else min, max, mean")] = None,
) -> Series:
    """A metric's figures."""
    wanted = list(dict.fromkeys(aggregation or _PLAIN))
    shares = [float(one[1:]) / _HUNDRED for one in wanted if one not in _PLAIN]
    if shares and split is Split.VARIANT:
        raise ProblemError(
            422, "percentiles are of a worker's cores or GPUs together: split by worker", field="split", kind="invalid"
        )
    found = await figures.series(Question(metric, span, split, worker or (), shares))
    lines = [
        line.model_copy(update={"values": {name: line.values[_key(name)] for name in wanted}}) for line in found.lines
    ]
    return found.model_copy(update={"lines": lines})


SeriesHere = Annotated[Series, Depends(series_of)]


@router.get("")
async def metrics(figures: FiguresHere) -> list[MetricView]:
    """What is measured."""
    return await figures.metrics()


@router.get("/series", response_model=Series)
async def series(found: SeriesHere) -> Response:
    """A metric over time, of the whole farm or split by worker, or by core and GPU."""
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/series.csv")
async def series_csv(found: SeriesHere) -> Response:
    """The same, a line for each interval."""
    names = list(found.lines[0].values) if found.lines else []
    return _csv(
        ["at", "worker", "variant", "count", *names],
        (
            [at.isoformat(), line.worker or "", "" if line.variant is None else line.variant, count, *values]
            for line in found.lines
            for at, count, *values in zip(line.at, line.count, *line.values.values(), strict=True)
        ),
    )


@router.get("/activity")
async def activity(figures: FiguresHere, span: SpanHere) -> ActivityReport:
    """How many workers were there in each interval, and how many of them held an attempt."""
    return await figures.activity(span)


@router.get("/activity.csv")
async def activity_csv(figures: FiguresHere, span: SpanHere) -> Response:
    """The same, a line for each interval."""
    found = await figures.activity(span)
    rows = zip((at.isoformat() for at in found.at), found.total, found.active, strict=True)
    return _csv(["at", "total", "active"], rows)


def _key(name: str) -> str:
    return name if name in _PLAIN else f"p{float(name[1:]):g}"


def _csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows(rows)
    return Response(text.getvalue(), media_type="text/csv")
