"""The farm as a whole: queues and numbers; and this coordinator: alive, ready, metrics."""

from typing import Annotated

import structlog
from fastapi import APIRouter, Path, Response
from fastapi.responses import JSONResponse

from coordinator.api.bodies import body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.problems import problem
from coordinator.operations.requests import NotFoundError, ThawZone, UnavailableError
from coordinator.telemetry import CONTENT_TYPE
from schemas.envelope import VERSION
from schemas.views import CapacityView, Changed, Diagnosis, FarmInfo, FreezeView, GuardState, QueueView, Reason

router = APIRouter(tags=["farm"])
probes = APIRouter(tags=["probes"])
Zone = Annotated[str, Path(min_length=1, max_length=64, pattern=r"^[^\x00]*$")]


@router.get("/queues")
async def queues(farm: FarmHere) -> list[QueueView]:
    """The queues that somebody waits in, works in or serves."""
    return await farm.views.queues()


@router.get("/capacity")
async def capacity(farm: FarmHere) -> CapacityView:
    """How many more workers the waiting tasks could use, and which could be stopped without loss."""
    return await farm.views.capacity()


@router.get("/doctor")
async def doctor(farm: FarmHere) -> Diagnosis:
    """What is wrong with the farm, its database and its broker, and what to do. Takes seconds, changes nothing."""
    if farm.diagnose is None:
        raise NotFoundError("this coordinator has no doctor")
    return await farm.diagnose()


@router.get("/info")
async def info(farm: FarmHere) -> FarmInfo:
    """This release, and the farm in numbers."""
    numbers = await farm.views.numbers()
    workers: dict[str, int] = {}
    for row in numbers.workers:
        workers[row.connection.value] = workers.get(row.connection.value, 0) + row.workers
    present = [row for row in numbers.workers if row.connection in ("online", "suspect")]
    return FarmInfo(
        version=farm.version,
        protocol=VERSION,
        coordinator=farm.coordinator,
        time=numbers.at,
        coordinators=await farm.views.coordinators(),
        freezes=await farm.views.freezes(),
        workers=workers,
        slots=sum(row.slots for row in present),
        slots_used=sum(row.used for row in numbers.workers),
        jobs=numbers.jobs,
        ready=sum(queue.waiting for queue in numbers.queues),
        running=sum(queue.running for queue in numbers.queues),
        parked=sum(numbers.parked.values()),
    )


@router.get("/freezes")
async def freezes(farm: FarmHere) -> list[FreezeView]:
    """Where workers that are not heard are not given up for now, and why; nothing: nowhere."""
    return await farm.views.freezes()


@router.post("/freezes/{zone}/thaw", openapi_extra=accepts(Reason))
async def thaw(farm: FarmHere, actor: Actor, zone: Zone, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Give up who is suspect in a frozen zone: they are gone indeed."""
    return Changed(count=(await farm.ask(ThawZone(zone, actor, body.reason))).count)


@probes.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives and answers."""
    return {"status": "alive"}


@probes.get("/readyz")
async def readyz(farm: FarmHere) -> Response:
    """It can do its work: the database answers, and nothing else is wrong."""
    reasons = list(farm.health())
    freezes: list[FreezeView] = []
    try:
        freezes = await farm.views.freezes()
    except UnavailableError as error:
        reasons.append(str(error))
    if reasons:
        return problem(503, "; ".join(reasons), kind="not-ready", headers={"Retry-After": "2"})
    notes = [f"nobody is given up {f'in zone {one.zone}' if one.zone else 'on this farm'}: see /api/v1/freezes"
             for one in freezes if one.guard is GuardState.FROZEN]  # fmt: skip
    return JSONResponse({"status": "ready", **({"notes": notes} if notes else {})})


@probes.get("/metrics")
async def metrics(farm: FarmHere) -> Response:
    """Metrics for Prometheus. Without the database, those of this process only."""
    farm.health()  # which takes over what the ways to the broker have counted
    try:
        numbers = await farm.views.numbers()
    except UnavailableError as error:
        structlog.get_logger(__name__).warning("metrics without the farm's gauges", reason=str(error))
        numbers = None
    return Response(farm.telemetry.expose(numbers), headers={"Content-Type": CONTENT_TYPE})
