"""Figures of machines over time, as they are shown. Lists of a line go together: the n-th of each is one interval."""

from datetime import datetime

from schemas.views.base import View


class MetricView(View):
    """Something that is measured."""

    metric: str
    unit: str
    what: str


class SeriesLine(View):
    """One worker's (None: the farm's) figures, of one core or GPU (None: of all together).

    `at` is when each interval begins, `count` how many values it has, `values` what was asked for: min, max, mean, p95.
    Intervals without a value are left out.
    """

    worker: str | None
    variant: int | None
    at: list[datetime]
    count: list[int]
    values: dict[str, list[float]]


class Series(View):
    """A metric from `since` to `until`. `exact`: percentiles are of the samples themselves, else at most 1 % off."""

    metric: str
    unit: str
    since: datetime
    until: datetime
    interval_s: int
    exact: bool
    lines: list[SeriesLine]


class ActivityReport(View):
    """Of each interval: the workers that were there, and those of them that held an attempt."""

    since: datetime
    until: datetime
    interval_s: int
    at: list[datetime]
    total: list[int]
    active: list[int]
