"""Job templates: keep, list, look at, submit, remove."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import AfterName, Limit, Name
from coordinator.operations.templates import CreateTemplate, RemoveTemplate, SubmitTemplate
from schemas.template import MAX_TEMPLATE_BYTES, TemplateSpec, TemplateUse
from schemas.views import Changed, Page, Reason, StoredTemplate, Submitted, TemplateDetail, TemplateView

router = APIRouter(prefix="/templates", tags=["templates"])

Version = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="the newest by default")]


@router.post("", status_code=201, openapi_extra=accepts(TemplateSpec))
async def create(
    farm: FarmHere,
    actor: Actor,
    response: Response,
    spec: Annotated[TemplateSpec, body_of(TemplateSpec, MAX_TEMPLATE_BYTES)],
) -> StoredTemplate:
    """Keep a template's next version. 201 when it was made, 200 when the newest is the same."""
    done = await farm.ask(CreateTemplate(spec, actor))
    if not done.created:
        response.status_code = 200
    return StoredTemplate(name=done.name, version=done.version, created=done.created)


@router.get("")
async def templates(farm: FarmHere, after: AfterName = "", limit: Limit = 100) -> Page[TemplateView]:
    """Templates, by name."""
    return await farm.views.templates(after=after, limit=limit)


@router.get("/{name}")
async def template(farm: FarmHere, name: Name, version: Version = None) -> TemplateDetail:
    """One template, as it was written."""
    return await farm.views.template(name, version)


@router.delete("/{name}", openapi_extra=accepts(Reason))
async def remove(farm: FarmHere, actor: Actor, name: Name, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Forget it with all its versions, unless a schedule uses it."""
    done = await farm.ask(RemoveTemplate(name, actor, body.reason))
    return Changed(count=done.count)


@router.post("/{name}/submit", status_code=201, openapi_extra=accepts(TemplateUse))
async def submit(
    farm: FarmHere, actor: Actor, response: Response, name: Name, body: Annotated[TemplateUse, body_of(TemplateUse)]
) -> Submitted:
    """Submit the job that the template makes of these parameters."""
    done = await farm.ask(SubmitTemplate(name, actor, body.version, body.parameters, body.replaced()))
    if not done.created:
        response.status_code = 200
    response.headers["Location"] = f"/api/v1/jobs/{done.job}"
    return Submitted(job=done.job, created=done.created, tasks=done.tasks)
