"""Templates and schedules: what stands until it is removed."""

from datetime import datetime
from typing import Any

from schemas.views.base import View


class TemplateView(View):
    """The newest version of a template."""

    name: str
    version: int
    description: str
    parameters: list[str]
    created_at: datetime
    created_by: str


class VersionView(View):
    """A version of a template."""

    version: int
    created_at: datetime
    created_by: str


class TemplateDetail(TemplateView):
    """A version of a template as it was written (`spec`), and which versions there are."""

    spec: dict[str, Any]
    versions: list[VersionView]


class StoredTemplate(View):
    """The version that a template has now; not `created`: it was there already."""

    name: str
    version: int
    created: bool


class RunView(View):
    """What became of an instant: `submitted`, `missed`, `overlapped` or `refused`; `state` is that of its job."""

    instant: datetime
    at: datetime
    by_hand: bool
    outcome: str
    job: int | None
    state: str | None
    detail: str | None


class ScheduleView(View):
    """A schedule; `why` says in a sentence what it waits for."""

    name: str
    cron: str
    timezone: str
    missed: str
    most_missed: int
    overlap: str
    template: str | None
    template_version: int | None
    next_at: datetime | None
    last_job: int | None
    last_state: str | None
    paused_at: datetime | None
    paused_by: str | None
    pause_reason: str | None
    created_at: datetime
    created_by: str
    why: str


class ScheduleDetail(ScheduleView):
    """A schedule, what it submits, its next three instants, and its newest twenty runs."""

    job: dict[str, Any] | None
    parameters: dict[str, Any]
    upcoming: list[datetime]
    runs: list[RunView]
