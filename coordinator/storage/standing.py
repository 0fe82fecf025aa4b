"""What is read of templates and schedules, and of others' tasks."""

from itertools import islice
from typing import Any, Final

from asyncpg import Record

from coordinator.domain.schedule import following
from coordinator.operations.requests import NotFoundError
from coordinator.storage import queries, shown
from coordinator.storage.reading import Reader
from schemas.base import MAX_INT
from schemas.views import (
    JobDetail,
    Page,
    RunView,
    ScheduleDetail,
    ScheduleView,
    TemplateDetail,
    TemplateView,
    VersionView,
    WatchedTaskView,
)

_STANDING: Final = queries.load("recurring")
_WATCHED: Final = queries.load("watched")
_UPCOMING: Final = 3


class Standing(Reader):
    """The questions."""

    async def archived_job(self, job: int) -> JobDetail:
        """What is left of an archived job."""
        rows = await self._fetch_sql(_STANDING["archived"], job)
        if not rows:
            raise NotFoundError(f"there is no job {job}")
        row = dict(rows[0])
        summary = row.pop("summary")
        return JobDetail(**{**summary, **row, "waiting": []})

    async def watched(
        self,
        *,
        worker: str | None = None,
        name: str | None = None,
        state: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Page[WatchedTaskView]:
        """Tasks that workers behind gateways have from elsewhere, the newest first; *before* is the cursor."""
        rows = await self._fetch_sql(_WATCHED["watched"], before or MAX_INT, worker, name, state, limit + 1)
        return Page(
            items=[WatchedTaskView(**row) for row in rows[:limit]],
            next=rows[limit - 1]["number"] if len(rows) > limit else None,
        )

    async def templates(self, *, after: str = "", limit: int = 100) -> Page[TemplateView]:
        """The newest version of each template, by name."""
        rows = await self._fetch_sql(_STANDING["list_templates"], after, limit + 1)
        found = rows[:limit]
        return Page(
            items=[TemplateView(**_template(row)) for row in found],
            next=found[-1]["name"] if len(rows) > limit else None,
        )

    async def template(self, name: str, version: int | None = None) -> TemplateDetail:
        """One version of a template, the newest by default."""
        rows = await self._fetch_sql(_STANDING["template"], name, version)
        if not rows:
            which = f"version {version} of template {name!r}" if version else f"template {name!r}"
            raise NotFoundError(f"there is no {which}")
        versions = await self._fetch_sql(_STANDING["versions_of_template"], name)
        return TemplateDetail(
            **_template(rows[0]), spec=rows[0]["spec"], versions=[VersionView(**one) for one in versions]
        )

    async def schedules(self, *, after: str = "", limit: int = 100) -> Page[ScheduleView]:
        """Schedules by name."""
        rows = await self._fetch_sql(_STANDING["list_schedules"], after, limit + 1)
        found = rows[:limit]
        return Page(
            items=[ScheduleView(**_schedule(row)) for row in found],
            next=found[-1]["name"] if len(rows) > limit else None,
        )

    async def schedule(self, name: str) -> ScheduleDetail:
        """One schedule, its next instants and newest runs."""
        rows = await self._fetch_sql(_STANDING["schedule"], name)
        if not rows:
            raise NotFoundError(f"there is no schedule {name!r}")
        row = rows[0]
        runs = await self._fetch_sql(_STANDING["runs"], row["id"])
        upcoming = list(islice(following(row["cron"], row["timezone"], row["now"]), _UPCOMING))
        return ScheduleDetail(**_schedule(row), upcoming=upcoming, runs=[RunView(**run) for run in runs])


def _template(row: Record) -> dict[str, Any]:
    spec = row["spec"]
    return {
        "name": row["name"],
        "version": row["version"],
        "description": spec.get("description", ""),
        "parameters": [one["name"] for one in spec.get("parameters", ())],
        "created_at": row["created_at"],
        "created_by": row["created_by"],
    }


def _schedule(row: Record) -> dict[str, Any]:
    return {**row, "why": _why(row), "job": shown.job_specification(row["job"])}


def _why(row: Record) -> str:
    if row["paused_at"] is not None:
        said = f": {row['pause_reason']}" if row["pause_reason"] else ""
        return f"Paused by {row['paused_by']}{said}. Go on with: farmhand schedules resume {row['name']}"
    if row["next_at"] is None:
        return "Its expression names no instant any more."
    running = row["last_state"] in ("active", "canceling")
    if running and row["overlap"] == "skip":
        return f"Skips its next instant unless job {row['last_job']} is finished by then (overlap: skip)."
    if running and row["overlap"] == "replace":
        return f"Its next instant cancels job {row['last_job']}, unless that is finished by then (overlap: replace)."
    return "Waits for its next instant."
