"""Tasks: look at, cancel, requeue; their logs and stories."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import After, Id, Limit
from coordinator.operations.pausing import PauseTasks, ResumeTasks
from coordinator.operations.requests import CancelTasks, RequeueTasks
from schemas.base import MAX_INT
from schemas.views import Changed, Entry, Page, Reason, TaskDetail, TaskWhy

router = APIRouter(prefix="/tasks", tags=["tasks"])

Attempt = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="the newest by default")]
Chunk = Annotated[int, Query(ge=-1, le=MAX_INT, description="X-Farmhand-Last-Chunk of the part before")]


@router.get("/{task}")
async def task(farm: FarmHere, task: Id) -> TaskDetail:
    """One task with its attempts and outputs, and why it waits."""
    return await farm.views.task(task)


@router.get("/{task}/why")
async def why(farm: FarmHere, task: Id) -> TaskWhy:
    """Why it waits: all reasons in their order with remedies, the funnel of workers, and those that lack least."""
    return await farm.views.why_task(task)


@router.post("/{task}/cancel", openapi_extra=accepts(Reason))
async def cancel(farm: FarmHere, actor: Actor, task: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Cancel it, unless it is finished."""
    done = await farm.ask(CancelTasks((task,), actor, body.reason))
    return Changed(count=done.count, continues=done.continues)


@router.post("/{task}/requeue", openapi_extra=accepts(Reason))
async def requeue(farm: FarmHere, actor: Actor, task: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Start its next run, when it is finished."""
    done = await farm.ask(RequeueTasks((task,), actor, body.reason))
    return Changed(count=done.count, continues=done.continues)


@router.post("/{task}/pause", openapi_extra=accepts(Reason))
async def pause(farm: FarmHere, actor: Actor, task: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Hold it back, if no worker has it."""
    return Changed(count=(await farm.ask(PauseTasks((task,), actor, body.reason))).count)


@router.post("/{task}/resume", openapi_extra=accepts(Reason))
async def resume(farm: FarmHere, actor: Actor, task: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Hold it back no longer."""
    return Changed(count=(await farm.ask(ResumeTasks((task,), actor, body.reason))).count)


@router.get("/{task}/log", response_class=StreamingResponse)
async def log(
    farm: FarmHere, task: Id, attempt: Attempt = None, after: Chunk = -1, *, settled: bool = False
) -> StreamingResponse:
    """The log of an attempt as text, after a chunk.

    The headers say which attempt it is, its last chunk in this part, and whether it is live (more may come). With
    `settled`, the part ends before a chunk that is still on its way.
    """
    span = await farm.views.log_span(task, attempt, after, settled=settled)

    async def text() -> AsyncIterator[str]:
        async for piece in farm.views.log(span):
            yield piece
        if span.truncated and not span.live:
            yield "\n[the log goes on, but no more of it was kept]\n"

    headers = {
        "X-Farmhand-Attempt": str(span.attempt),
        "X-Farmhand-Last-Chunk": str(span.last),
        "X-Farmhand-Live": "true" if span.live else "false",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return StreamingResponse(text(), media_type="text/plain; charset=utf-8", headers=headers)


@router.get("/{task}/story")
async def story(farm: FarmHere, task: Id, after: After = 0, limit: Limit = 100) -> Page[Entry]:
    """What happened to it."""
    return await farm.views.story_of_task(task, after=after, limit=limit)
