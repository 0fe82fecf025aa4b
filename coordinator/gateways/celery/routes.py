"""Celery has no HTTP of its own here: the gateway is a line to its broker, and describes no paths."""

from typing import Final

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.bridge import Bridges
from coordinator.gateways.kit import Fault, Gate, Gateway


def tell(fault: Fault) -> Response:
    """A fault, of whoever calls where nothing is."""
    return JSONResponse({"message": fault.detail}, fault.status, headers=dict(fault.headers))


def router(_gate: Gate) -> APIRouter:
    """No operation."""
    return APIRouter()


GATEWAY: Final = Gateway(
    name=translate.PROTOCOL,
    title="Celery",
    paths=(),
    router=router,
    tell=tell,
    carrier=Bridges,
)
