"""Worker tags for operators' programs (Flamenco 3 API, tag worker-mgt): labels, under the name that they have there."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from coordinator.gateways.flamenco_v3 import tagging, translate
from coordinator.gateways.flamenco_v3.answers import Operation, schema
from coordinator.gateways.flamenco_v3.office import BEARER, Office
from coordinator.gateways.flamenco_v3.wire import WorkerTag, WorkerTagChange
from coordinator.gateways.kit import Fault, Gate, read
from coordinator.operations.requests import LabelWorker
from schemas.roles import Role
from schemas.views import WorkerView

_TEXT: Final = {"type": "string"}
TAG: Final = schema("WorkerTag", id=_TEXT, name=_TEXT)
_TAGS: Final = schema("WorkerTagList", tags={"type": "array", "items": TAG})
_FAULTS: Final = (400, 403, 404, 413, 503)
SET: Final = Operation("setWorkerTags", {204: ("set", None)}, _FAULTS, WorkerTagChange, secured=BEARER)
FETCH_ALL: Final = Operation("fetchWorkerTags", {200: ("those that workers have", _TAGS)}, (403, 503), secured=BEARER)
CREATE: Final = Operation("createWorkerTag", {200: ("the tag", TAG)}, (400, 403, 413, 503), WorkerTag, secured=BEARER)
FETCH: Final = Operation("fetchWorkerTag", {200: ("the tag", TAG)}, (400, 403, 404, 503), secured=BEARER)
UPDATE: Final = Operation("updateWorkerTag", {204: ("renamed", None)}, _FAULTS, WorkerTag, secured=BEARER)
DELETE: Final = Operation("deleteWorkerTag", {204: ("gone", None)}, (400, 403, 404, 503), secured=BEARER)


def shown(label: str) -> dict[str, str]:
    """A label as a tag."""
    return {"id": tagging.uuid_of(label), "name": label}


class Tags:
    """Their routes."""

    def __init__(self, gate: Gate, office: Office) -> None:
        self._gate = gate
        self._office = office

    def add(self, router: APIRouter) -> None:
        """Add them."""
        SET.add(router, "POST", "/workers/{worker_id}/settags", self.set)
        FETCH_ALL.add(router, "GET", "/tags", self.fetch_all)
        CREATE.add(router, "POST", "/tags", self.create)
        FETCH.add(router, "GET", "/tag/{tag_id}", self.fetch)
        UPDATE.add(router, "PUT", "/tag/{tag_id}", self.update)
        DELETE.add(router, "DELETE", "/tag/{tag_id}", self.delete)

    async def set(self, request: Request, worker_id: str) -> Response:
        """Let the worker have these tags, and no others."""
        actor = await self._office.caller(request, Role.OPERATOR)
        worker = await self._office.worker(worker_id)
        wish = await read(request, WorkerTagChange)
        workers = await self._office.workers()
        labels = dict.fromkeys(_label(uuid, workers) for uuid in wish.tag_ids)
        await self._gate.ask(LabelWorker(worker.id, tuple(labels), actor))
        return Response(status_code=204)

    async def fetch_all(self, request: Request) -> Response:
        """The tags of all Flamenco workers."""
        await self._office.caller(request, Role.VIEWER)
        return JSONResponse({"tags": [shown(label) for label in sorted(_in_use(await self._office.workers()))]})

    async def create(self, request: Request) -> Response:
        """What a tag of this name is called: it is there when a worker has it."""
        await self._office.caller(request, Role.OPERATOR)
        return JSONResponse(shown(_checked((await read(request, WorkerTag)).name)))

    async def fetch(self, request: Request, tag_id: str) -> Response:
        """One tag."""
        await self._office.caller(request, Role.VIEWER)
        return JSONResponse(shown(_label(tag_id, await self._office.workers())))

    async def update(self, request: Request, tag_id: str) -> Response:
        """Let those who have it have one of the new name instead."""
        actor = await self._office.caller(request, Role.OPERATOR)
        name = _checked((await read(request, WorkerTag)).name)
        await self._replace(actor, tag_id, lambda labels, old: [name if one == old else one for one in labels])
        return Response(status_code=204)

    async def delete(self, request: Request, tag_id: str) -> Response:
        """Take it from all who have it."""
        actor = await self._office.caller(request, Role.OPERATOR)
        await self._replace(actor, tag_id, lambda labels, old: [one for one in labels if one != old])
        return Response(status_code=204)

    async def _replace(self, actor: str, tag_id: str, change: Callable[[list[str], str], list[str]]) -> None:
        workers = await self._office.workers()
        old = _label(tag_id, workers)
        asked: list[Any] = [
            self._gate.ask(LabelWorker(one.id, tuple(dict.fromkeys(change(list(one.labels), old))), actor))
            for one in workers
            if old in one.labels
        ]
        await asyncio.gather(*asked)


def _in_use(workers: list[WorkerView]) -> set[str]:
    return {label for worker in workers for label in worker.labels}


def _label(uuid: str, workers: list[WorkerView]) -> str:
    """The label that is this tag. Raises Fault 400, 404."""
    if not translate.is_uuid(uuid):
        raise Fault(400, f"{uuid[:50]!r} is not a UUID")
    label = tagging.spelled(uuid)
    if label is None:
        label = next((one for one in _in_use(workers) if tagging.uuid_of(one) == uuid.lower()), None)
    if label is None:
        raise Fault(404, "there is no such tag")
    return label


def _checked(name: str) -> str:
    wrong = tagging.wrong_with(name)
    if wrong is not None:
        raise Fault(400, f"name: {wrong}")
    return name
