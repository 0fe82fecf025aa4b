"""The calls about what stands: templates and schedules."""

import json
from functools import partial
from typing import TYPE_CHECKING

from coordinator.client.calls.call import Call, change, get, part, read_as, written
from schemas.views import (
    Changed,
    Page,
    ScheduleDetail,
    ScheduleView,
    StoredTemplate,
    Submitted,
    TemplateDetail,
    TemplateView,
)

if TYPE_CHECKING:
    from schemas.template import ScheduleSpec, TemplateSpec, TemplateUse


def create_template(spec: "TemplateSpec") -> Call[StoredTemplate]:
    """Keep a template's next version."""
    return Call("POST", "templates", partial(read_as, StoredTemplate), body=written(spec))


def templates(*, after: str = "", limit: int = 100) -> Call[Page[TemplateView]]:
    """Templates, by name."""
    return get("templates", Page[TemplateView], after=after, limit=limit)


def template(name: str, *, version: int | None = None) -> Call[TemplateDetail]:
    """One version of a template, the newest by default."""
    return get(f"templates/{part(name)}", TemplateDetail, version=version)


def remove_template(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Forget a template with all its versions."""
    return change(f"templates/{part(name)}", method="DELETE", reason=reason)


def submit_template(name: str, use: "TemplateUse") -> Call[Submitted]:
    """Submit the job that a template makes of parameters."""
    return Call("POST", f"templates/{part(name)}/submit", partial(read_as, Submitted), body=written(use))


def create_schedule(spec: "ScheduleSpec") -> Call[Changed]:
    """Begin to submit at the instants of a schedule."""
    return Call("POST", "schedules", partial(read_as, Changed), body=written(spec))


def schedules(*, after: str = "", limit: int = 100) -> Call[Page[ScheduleView]]:
    """Schedules, by name."""
    return get("schedules", Page[ScheduleView], after=after, limit=limit)


def schedule(name: str) -> Call[ScheduleDetail]:
    """One schedule, its next instants and its newest runs."""
    return get(f"schedules/{part(name)}", ScheduleDetail)


def pause_schedule(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Let its instants pass."""
    return change(f"schedules/{part(name)}/pause", reason=reason)


def resume_schedule(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Go on with its next instant."""
    return change(f"schedules/{part(name)}/resume", reason=reason)


def run_schedule(name: str, *, reason: str | None = None) -> Call[Submitted]:
    """Submit now what its next instant would."""
    body = json.dumps({"reason": reason}).encode()
    return Call("POST", f"schedules/{part(name)}/run", partial(read_as, Submitted), body=body)


def remove_schedule(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Forget it; its jobs go on."""
    return change(f"schedules/{part(name)}", method="DELETE", reason=reason)
