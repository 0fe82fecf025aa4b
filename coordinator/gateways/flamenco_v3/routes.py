"""Flamenco 3's paths, put together, and the credential that an operator makes for a worker."""

import secrets
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from coordinator.domain.access import digest_of
from coordinator.gateways.flamenco_v3 import answers, translate
from coordinator.gateways.flamenco_v3.answers import Operation, schema
from coordinator.gateways.flamenco_v3.door import Door
from coordinator.gateways.flamenco_v3.lives import Lives
from coordinator.gateways.flamenco_v3.management import Management
from coordinator.gateways.flamenco_v3.office import Office
from coordinator.gateways.flamenco_v3.pictures import Pictures
from coordinator.gateways.flamenco_v3.tags import Tags
from coordinator.gateways.flamenco_v3.tasks import Tasks
from coordinator.gateways.kit import Gate, Gateway
from coordinator.operations.access import Credential, Enrolment


def mint(name: str) -> Credential:
    """The credential of one worker, which is known from then on: for farms where none may register itself."""
    uuid, secret = translate.fresh_uuid(), secrets.token_hex(32)
    worker = translate.other_name_of(name, uuid)
    portrait = translate.portrait_of(uuid, name=name, address="")
    shown = {"username": uuid, "password": secret}
    return Credential(shown, uuid, digest_of(secret), worker, Enrolment(worker, portrait, uuid4()))


_TEXT: Final = {"type": "string"}
VERSION: Final = Operation(
    "getVersion",
    {
        200: (
            "whom they have found",
            schema("FlamencoVersion", version=_TEXT, shortversion=_TEXT, name=_TEXT, git=_TEXT),
        )
    },
    (),
    secured=None,
)


def _version(version: str) -> Callable[[], Awaitable[Response]]:
    async def answer() -> Response:
        """Whom a client has found: workers ask before they register, where they have searched for their Manager."""
        return JSONResponse({"version": version, "shortversion": version, "name": "Farmhand", "git": ""})

    return answer


def router(gate: Gate) -> APIRouter:
    """All operations, those that are called most first."""
    door = Door(gate)
    for_workers = APIRouter(prefix="/api/v3/worker", tags=["worker"])
    Tasks(gate, door).add(for_workers)
    Lives(gate, door).add(for_workers)
    Pictures(gate, door).add(for_workers)
    for_operators = APIRouter(prefix="/api/v3/worker-mgt", tags=["worker-mgt"])
    office = Office(gate)
    Management(gate, office).add(for_operators)
    Tags(gate, office).add(for_operators)
    for_all = APIRouter(prefix="/api/v3")
    VERSION.add(for_all, "GET", "/version", _version(gate.farm.version))
    return APIRouter(routes=[*for_workers.routes, *for_operators.routes, *for_all.routes])


GATEWAY: Final = Gateway(
    name=translate.PROTOCOL,
    title="Flamenco 3",
    paths=("/api/v3",),
    router=router,
    tell=answers.tell,
    mint=mint,
)
