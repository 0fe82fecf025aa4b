"""The HTTP API: `/api/v1`, health and metrics. Reads come from the rows, every change goes through the one inbox."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.routing import BaseRoute

from coordinator.api import (
    access,
    changes,
    farmwide,
    jobs,
    outputs,
    parked,
    problems,
    rules,
    schedules,
    statistics,
    tasks,
    templates,
    watched,
    workers,
)
from coordinator.api.blobs import Blobs
from coordinator.api.document import document
from coordinator.api.door import Door, Shelf
from coordinator.api.farm import Ask, Diagnose, Farm
from coordinator.api.guard import Guard
from coordinator.api.reads import Figures, Reads
from coordinator.api.roles import authorize
from coordinator.operations.access import Credential
from coordinator.telemetry import Telemetry


def create_app(  # noqa: PLR0913 - each part by its name
    *,
    views: Reads,
    ask: Ask,
    health: Callable[[], Sequence[str]],
    telemetry: Telemetry,
    blobs: Path,
    version: str,
    coordinator: str,
    figures: Figures | None = None,
    tokens: Shelf | None = None,
    door: Door | None = None,
    diagnose: Diagnose | None = None,
    mints: Mapping[str, Callable[[str], Credential]] | None = None,
) -> FastAPI:
    """The application.

    *health* names what keeps this coordinator from its work; output files are kept below *blobs*; *door* lets callers
    in (without one, all); *mints* make what opens gateways.
    """
    app = FastAPI(
        title="Farmhand",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        routes=[*_routes()],
    )
    door = door or Door()
    app.state.farm = Farm(
        views,
        ask,
        health,
        telemetry,
        Blobs(blobs),
        version,
        coordinator,
        door,
        tokens,
        figures,
        diagnose,
        mints or {},
    )
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    problems.install(app)
    app.add_middleware(Guard, door=door)
    return app


@cache
def _routes() -> Sequence[BaseRoute]:
    """Made once in a process: applications differ in their farm alone, and all signatures are read for the routes."""
    v1 = APIRouter(prefix="/api/v1", dependencies=[Depends(authorize)])
    for module in (
        *(access, jobs, changes, outputs, tasks, workers, templates),
        *(schedules, parked, rules, farmwide, statistics, watched),
    ):
        v1.include_router(module.router)
    v1.include_router(workers.farmwide)
    everything = APIRouter()
    everything.include_router(v1)
    everything.include_router(farmwide.probes)
    return everything.routes
