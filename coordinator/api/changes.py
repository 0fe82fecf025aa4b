"""Changes to jobs: priority, required tags and labels, whether they are kept; and archiving."""

from typing import Annotated

from fastapi import APIRouter

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import Id
from coordinator.operations.changes import ChangePriority, ChangeTags, KeepJob
from coordinator.operations.retention import ArchiveJob
from schemas.views import Changed, KeepWish, PriorityWish, Reason, TagsWish

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.put("/{job}/priority", openapi_extra=accepts(PriorityWish))
async def priority(
    farm: FarmHere, actor: Actor, job: Id, body: Annotated[PriorityWish, body_of(PriorityWish)]
) -> Changed:
    """Give the job another priority; what runs goes on."""
    done = await farm.ask(ChangePriority(job, body.priority, actor, body.reason))
    return Changed(count=done.count)


@router.put("/{job}/tags", openapi_extra=accepts(TagsWish))
async def tags(farm: FarmHere, actor: Actor, job: Id, body: Annotated[TagsWish, body_of(TagsWish)]) -> Changed:
    """Require other tags and labels of the workers of its waiting tasks; what runs goes on."""
    lists = (body.add, body.remove, body.add_labels, body.remove_labels)
    add, remove, add_labels, remove_labels = (tuple(some) for some in lists)
    done = await farm.ask(ChangeTags(job, actor, add, remove, add_labels, remove_labels, body.reason))
    return Changed(count=done.count)


@router.put("/{job}/keep", openapi_extra=accepts(KeepWish))
async def keep(farm: FarmHere, actor: Actor, job: Id, body: Annotated[KeepWish, body_of(KeepWish)]) -> Changed:
    """Never archive the job, or let it be archived as others are."""
    done = await farm.ask(KeepJob(job, actor, body.keep, body.reason))
    return Changed(count=done.count)


@router.post("/{job}/archive", openapi_extra=accepts(Reason))
async def archive(farm: FarmHere, actor: Actor, job: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Archive the finished job now: one row stays, its tasks, attempts, outputs and copies of files go."""
    done = await farm.ask(ArchiveJob(job, actor, body.reason))
    return Changed(count=done.count)
