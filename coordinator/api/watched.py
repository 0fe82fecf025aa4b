"""Tasks that workers behind gateways have from elsewhere: list."""

from fastapi import APIRouter

from coordinator.api.farm import FarmHere
from coordinator.api.parameters import Before, Limit, Text
from schemas.views import Page, WatchedTaskView

router = APIRouter(prefix="/watched", tags=["watched"])


@router.get("")
async def watched(
    farm: FarmHere,
    worker: Text = None,
    name: Text = None,
    state: Text = None,
    before: Before = None,
    limit: Limit = 100,
) -> Page[WatchedTaskView]:
    """Tasks of others, the newest first."""
    return await farm.views.watched(worker=worker, name=name, state=state, before=before, limit=limit)
