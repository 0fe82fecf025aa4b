"""What operators set for all: limits, weights, fair share, and pauses of queues."""

from typing import Annotated

from fastapi import APIRouter, Path

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import After, Limit
from coordinator.domain.budget import Scope
from coordinator.operations.limiting import SetFairShare, SetLimit, SetWeight
from coordinator.operations.pausing import PauseQueue, ResumeQueue
from schemas.views import (
    Changed,
    Entry,
    FairShare,
    LimitScope,
    LimitWish,
    Page,
    Reason,
    RulesView,
    WeightWish,
)

router = APIRouter(tags=["rules"])

Name = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Queue = Annotated[str, Path(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}$")]


@router.get("/limits")
async def rules(farm: FarmHere) -> RulesView:
    """All limits with what is in use, all weights, and whether fair share is on."""
    return await farm.views.rules()


@router.get("/limits/story")
async def story(farm: FarmHere, after: After = 0, limit: Limit = 100) -> Page[Entry]:
    """Who set what, and paused which queue."""
    return await farm.views.story_of_rules(after=after, limit=limit)


@router.put("/limits/{scope}/{name:path}", openapi_extra=accepts(LimitWish))
async def set_limit(
    farm: FarmHere, actor: Actor, scope: LimitScope, name: Name, body: Annotated[LimitWish, body_of(LimitWish)]
) -> Changed:
    """Let so many tasks be held at once, or the farm have so many of a license."""
    done = await farm.ask(SetLimit(Scope(scope.value), name, body.total, actor, body.reason))
    return Changed(count=done.count)


@router.put("/weights/{submitter:path}", openapi_extra=accepts(WeightWish))
async def set_weight(
    farm: FarmHere, actor: Actor, submitter: Name, body: Annotated[WeightWish, body_of(WeightWish)]
) -> Changed:
    """Give a submitter a weight in fair share."""
    return Changed(count=(await farm.ask(SetWeight(submitter, body.weight, actor, body.reason))).count)


@router.put("/fair-share", openapi_extra=accepts(FairShare))
async def set_fair_share(farm: FarmHere, actor: Actor, body: Annotated[FairShare, body_of(FairShare)]) -> Changed:
    """Turn fair share on or off."""
    return Changed(count=(await farm.ask(SetFairShare(body.on, actor, body.reason))).count)


@router.post("/queues/{queue}/pause", openapi_extra=accepts(Reason))
async def pause(farm: FarmHere, actor: Actor, queue: Queue, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Give nothing more from a queue to workers; what runs goes on."""
    return Changed(count=(await farm.ask(PauseQueue(queue, actor, body.reason))).count)


@router.post("/queues/{queue}/resume", openapi_extra=accepts(Reason))
async def resume(farm: FarmHere, actor: Actor, queue: Queue, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Give what waits in a queue to workers again."""
    return Changed(count=(await farm.ask(ResumeQueue(queue, actor, body.reason))).count)
