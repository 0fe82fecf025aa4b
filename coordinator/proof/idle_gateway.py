"""A coordinator with one gateway more, whose calls only read what they are sent: others are held against it.

`python -m coordinator.proof.idle_gateway` takes its settings from the environment, as `farmhand coordinator` does.
"""

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from coordinator.api.bodies import received
from coordinator.app import run
from coordinator.config import Settings
from coordinator.gateways import GATEWAYS
from coordinator.gateways.kit import Fault, Gate, Gateway
from coordinator.gateways.kit.bodies import LIMIT_BYTES

PATH: Final = "/nothing"


def _tell(fault: Fault) -> Response:
    return JSONResponse({"message": fault.detail}, fault.status)


def _router(_: Gate) -> APIRouter:
    made = APIRouter(prefix=PATH)

    @made.api_route("/{rest:path}", methods=["GET", "POST"], response_class=Response)
    async def nothing(request: Request) -> Response:
        """Read, and say so."""
        await received(request, LIMIT_BYTES)
        return Response()

    return made


IDLE: Final = Gateway(name="nothing", title="nothing", paths=(PATH,), router=_router, tell=_tell)


if __name__ == "__main__":
    run(Settings(), [*GATEWAYS, IDLE])
