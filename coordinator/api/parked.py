"""Parked messages: list, look at, replay, drop."""

from fastapi import APIRouter

from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import Before, Id, Limit, Text
from coordinator.operations.requests import DropParked, ReplayParked
from schemas.views import Changed, Page, ParkedDetail, ParkedState, ParkedView

router = APIRouter(prefix="/parked", tags=["parked"])


@router.get("")
async def parked(
    farm: FarmHere,
    state: ParkedState = ParkedState.PARKED,
    reason: Text = None,
    before: Before = None,
    limit: Limit = 100,
) -> Page[ParkedView]:
    """Parked messages, the newest first."""
    return await farm.views.parked(state=state, reason=reason, before=before, limit=limit)


@router.get("/{parked}")
async def parked_one(farm: FarmHere, parked: Id) -> ParkedDetail:
    """One parked message with its bytes."""
    return await farm.views.parked_one(parked)


@router.post("/{parked}/replay")
async def replay(farm: FarmHere, actor: Actor, parked: Id) -> Changed:
    """Put it through the same checks again."""
    done = await farm.ask(ReplayParked(parked, actor))
    return Changed(count=done.count, continues=done.continues)


@router.post("/{parked}/drop")
async def drop(farm: FarmHere, actor: Actor, parked: Id) -> Changed:
    """Put it aside for good."""
    done = await farm.ask(DropParked(parked, actor))
    return Changed(count=done.count, continues=done.continues)
