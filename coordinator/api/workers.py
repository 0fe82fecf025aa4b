"""Workers: list, look at, ask for another state, label, let sleep, remove."""

from typing import Annotated

from fastapi import APIRouter, Query

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.parameters import After, Limit, Text, WorkerId
from coordinator.domain.idle import IdleAction, IdlePolicy
from coordinator.operations.requests import Changed as Done
from coordinator.operations.requests import (
    LabelWorker,
    RemoveWorker,
    RequestWorkerState,
    SetIdleDefault,
    SetIdlePolicy,
    SetSleepSchedule,
)
from schemas.views import (
    Changed,
    Connection,
    Entry,
    IdleView,
    IdleWish,
    Labels,
    Page,
    Reason,
    SleepSchedule,
    StateWish,
    WorkerDetail,
    WorkerView,
)
from schemas.worker import Duty

router = APIRouter(prefix="/workers", tags=["workers"])
farmwide = APIRouter(tags=["workers"])


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
    wish = RequestWorkerState(worker, body.state, actor, body.lazy, body.reason, body.within_s, body.only_from)
    return _changed(await farm.ask(wish))


@router.delete("/{worker}", openapi_extra=accepts(Reason))
async def remove(farm: FarmHere, actor: Actor, worker: WorkerId, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Forget it; it must be gone."""
    return _changed(await farm.ask(RemoveWorker(worker, actor, body.reason)))


@router.put("/{worker}/sleep", openapi_extra=accepts(SleepSchedule))
async def sleep(
    farm: FarmHere, actor: Actor, worker: WorkerId, body: Annotated[SleepSchedule, body_of(SleepSchedule)]
) -> Changed:
    """Let it sleep by this schedule, from now on."""
    return _changed(await farm.ask(SetSleepSchedule(worker, body.model_dump(mode="json"), actor)))


@router.delete("/{worker}/sleep")
async def stay_awake(farm: FarmHere, actor: Actor, worker: WorkerId) -> Changed:
    """Let it sleep by no schedule."""
    return _changed(await farm.ask(SetSleepSchedule(worker, None, actor)))


@router.put("/{worker}/idle", openapi_extra=accepts(IdleWish))
async def idle(farm: FarmHere, actor: Actor, worker: WorkerId, body: Annotated[IdleWish, body_of(IdleWish)]) -> Changed:
    """What is done when it is idle."""
    return _changed(await farm.ask(SetIdlePolicy(worker, _policy(body), actor)))


@router.delete("/{worker}/idle")
async def idle_as_the_farm(farm: FarmHere, actor: Actor, worker: WorkerId) -> Changed:
    """Let it have the farm's policy."""
    return _changed(await farm.ask(SetIdlePolicy(worker, None, actor)))


@farmwide.get("/idle")
async def idle_default(farm: FarmHere) -> IdleView:
    """What is done about idle workers that have no policy of their own."""
    return await farm.views.idle_default()


@farmwide.put("/idle", openapi_extra=accepts(IdleWish))
async def set_idle_default(farm: FarmHere, actor: Actor, body: Annotated[IdleWish, body_of(IdleWish)]) -> Changed:
    """What is to be done about them."""
    return _changed(await farm.ask(SetIdleDefault(_policy(body), actor)))


def _policy(wish: IdleWish) -> IdlePolicy:
    return IdlePolicy(IdleAction(wish.action), wish.after_s)


def _changed(done: Done) -> Changed:
    return Changed(count=done.count, continues=done.continues)


@router.put("/{worker}/labels", openapi_extra=accepts(Labels))
async def labels(farm: FarmHere, actor: Actor, worker: WorkerId, body: Annotated[Labels, body_of(Labels)]) -> Changed:
    """Approve exactly these labels."""
    return _changed(await farm.ask(LabelWorker(worker, tuple(dict.fromkeys(body.labels)), actor)))


@router.get("/{worker}/story")
async def story(farm: FarmHere, worker: WorkerId, after: After = 0, limit: Limit = 100) -> Page[Entry]:
    """What happened to it."""
    return await farm.views.story_of_worker(worker, after=after, limit=limit)
