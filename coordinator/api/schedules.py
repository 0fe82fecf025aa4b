"""Schedules: create, list, look at, pause, resume, run, remove."""

from typing import Annotated

from fastapi import APIRouter

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import AfterName, Limit, Name
from coordinator.operations.schedules import (
    CreateSchedule,
    PauseSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RunSchedule,
)
from schemas.template import MAX_TEMPLATE_BYTES, ScheduleSpec
from schemas.views import Changed, Page, Reason, ScheduleDetail, ScheduleView, Submitted

router = APIRouter(prefix="/schedules", tags=["schedules"])

Why = Annotated[Reason, body_of(Reason)]


@router.post("", status_code=201, openapi_extra=accepts(ScheduleSpec))
async def create(
    farm: FarmHere, actor: Actor, spec: Annotated[ScheduleSpec, body_of(ScheduleSpec, MAX_TEMPLATE_BYTES)]
) -> Changed:
    """Begin to submit at the instants of a schedule."""
    done = await farm.ask(CreateSchedule(spec, actor))
    return Changed(count=done.count)


@router.get("")
async def schedules(farm: FarmHere, after: AfterName = "", limit: Limit = 100) -> Page[ScheduleView]:
    """Schedules, by name."""
    return await farm.views.schedules(after=after, limit=limit)


@router.get("/{name}")
async def schedule(farm: FarmHere, name: Name) -> ScheduleDetail:
    """One schedule, its next instants and its newest runs."""
    return await farm.views.schedule(name)


@router.post("/{name}/pause", openapi_extra=accepts(Reason))
async def pause(farm: FarmHere, actor: Actor, name: Name, body: Why) -> Changed:
    """Let its instants pass."""
    done = await farm.ask(PauseSchedule(name, actor, body.reason))
    return Changed(count=done.count)


@router.post("/{name}/resume", openapi_extra=accepts(Reason))
async def resume(farm: FarmHere, actor: Actor, name: Name, body: Why) -> Changed:
    """Go on with its next instant."""
    done = await farm.ask(ResumeSchedule(name, actor, body.reason))
    return Changed(count=done.count)


@router.post("/{name}/run", status_code=201, openapi_extra=accepts(Reason))
async def run(farm: FarmHere, actor: Actor, name: Name, body: Why) -> Submitted:
    """Submit now what its next instant would."""
    done = await farm.ask(RunSchedule(name, actor, body.reason))
    return Submitted(job=done.job, created=done.created, tasks=done.tasks)


@router.delete("/{name}", openapi_extra=accepts(Reason))
async def remove(farm: FarmHere, actor: Actor, name: Name, body: Why) -> Changed:
    """Forget it; its jobs go on."""
    done = await farm.ask(RemoveSchedule(name, actor, body.reason))
    return Changed(count=done.count)
