"""Workers: list, look at, ask for another state, label."""

from typing import Annotated

from fastapi import APIRouter, Query

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import After, Limit, Text, WorkerId
from coordinator.operations.requests import LabelWorker, RequestWorkerState
from schemas.views import Changed, Connection, Entry, Labels, Page, StateWish, WorkerDetail, WorkerView
from schemas.worker import Duty

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("")
async def workers(
    farm: FarmHere,
    connection: Connection | None = None,
    duty: Duty | None = None,
    queue: Text = None,
    after: Annotated[str, Query(max_length=64, pattern=r"^[a-z0-9-]*$")] = "",
    limit: Limit = 100,
) -> Page[WorkerView]:
    """Workers, by name."""
    return await farm.views.workers(connection=connection, duty=duty, queue=queue, after=after, limit=limit)


@router.get("/{worker}")
async def worker(farm: FarmHere, worker: WorkerId) -> WorkerDetail:
    """One worker, its machine and what it holds."""
    return await farm.views.worker(worker)


@router.post("/{worker}/state", openapi_extra=accepts(StateWish))
async def state(
    farm: FarmHere, actor: Actor, worker: WorkerId, body: Annotated[StateWish, body_of(StateWish)]
) -> Changed:
    """Ask it for another state."""
    done = await farm.ask(RequestWorkerState(worker, body.state, actor, body.lazy, body.reason))
    return Changed(count=done.count, continues=done.continues)


@router.put("/{worker}/labels", openapi_extra=accepts(Labels))
async def labels(farm: FarmHere, actor: Actor, worker: WorkerId, body: Annotated[Labels, body_of(Labels)]) -> Changed:
    """Approve exactly these labels."""
    done = await farm.ask(LabelWorker(worker, tuple(dict.fromkeys(body.labels)), actor))
    return Changed(count=done.count, continues=done.continues)


@router.get("/{worker}/story")
async def story(farm: FarmHere, worker: WorkerId, after: After = 0, limit: Limit = 100) -> Page[Entry]:
    """What happened to it."""
    return await farm.views.story_of_worker(worker, after=after, limit=limit)
