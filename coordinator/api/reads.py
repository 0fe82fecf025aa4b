# ruff: noqa: D102 - storage, which answers, says it
"""What the API asks of the rows. Each question raises NotFoundError or UnavailableError."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Protocol

from coordinator.domain.statistics import Span
from schemas.views import (
    ActivityReport,
    BlockView,
    CapacityView,
    CoordinatorView,
    Entry,
    IdleView,
    JobDetail,
    JobView,
    JobWhy,
    LogSpan,
    MetricView,
    Numbers,
    OutputView,
    Page,
    ParkedDetail,
    ParkedView,
    QueueView,
    ScheduleDetail,
    ScheduleView,
    Series,
    TaskDetail,
    TaskView,
    TaskWhy,
    TemplateDetail,
    TemplateView,
    WorkerDetail,
    WorkerView,
)


class StandingReads(Protocol):
    """The questions about templates and schedules."""

    async def templates(self, *, after: str = "", limit: int = 100) -> Page[TemplateView]: ...
    async def template(self, name: str, version: int | None = None) -> TemplateDetail: ...
    async def schedules(self, *, after: str = "", limit: int = 100) -> Page[ScheduleView]: ...
    async def schedule(self, name: str) -> ScheduleDetail: ...


class Reads(StandingReads, Protocol):
    """The questions. `before` and `after` are cursors, `limit` the size of a page."""

    async def jobs(
        self, *, state: str | None = None, submitter: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[JobView]: ...
    async def job(self, job: int) -> JobDetail: ...
    async def blocklist(self, job: int) -> list[BlockView]: ...
    async def tasks(
        self, job: int, *, state: str | None = None, after: int = 0, limit: int = 100
    ) -> Page[TaskView]: ...
    async def task(self, task: int) -> TaskDetail: ...
    async def why_task(self, task: int) -> TaskWhy: ...
    async def why_job(self, job: int) -> JobWhy: ...
    async def capacity(self) -> CapacityView: ...
    async def attempt_worker(self, task: int, attempt: int) -> str: ...
    async def output(self, task: int, attempt: int, name: str) -> OutputView: ...
    async def log_span(self, task: int, attempt: int | None, after: int, *, settled: bool) -> LogSpan: ...
    def log(self, span: LogSpan) -> AsyncIterator[str]: ...
    async def story_of_task(self, task: int, *, after: int = 0, limit: int = 100) -> Page[Entry]: ...
    async def story_of_worker(self, worker: str, *, after: int = 0, limit: int = 100) -> Page[Entry]: ...
    async def story_of_job(self, job: int, *, after: int = 0, limit: int = 100) -> Page[Entry]: ...
    async def workers(
        self,
        *,
        connection: str | None = None,
        duty: str | None = None,
        queue: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[WorkerView]: ...
    async def worker(self, worker: str) -> WorkerDetail: ...
    async def idle_default(self) -> IdleView: ...
    async def queues(self) -> list[QueueView]: ...
    async def parked(
        self, *, state: str | None = "parked", reason: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[ParkedView]: ...
    async def parked_one(self, parked: int) -> ParkedDetail: ...
    async def ping(self) -> None: ...
    async def coordinators(self) -> list[CoordinatorView]: ...
    async def numbers(self) -> Numbers: ...


class Figures(Protocol):
    """Questions about figures of machines over time."""

    async def now(self) -> datetime: ...
    async def metrics(self) -> list[MetricView]: ...
    async def series(
        self,
        metric: str,
        span: Span,
        *,
        workers: Sequence[str] | None,
        by_worker: bool,
        by_variant: bool,
        percentiles: Sequence[float] = (),
    ) -> Series: ...
    async def activity(self, span: Span) -> ActivityReport: ...
