"""ClearML's endpoints, put together."""

from typing import Final

from fastapi import APIRouter

from coordinator.gateways.clearml import translate, wire
from coordinator.gateways.clearml.door import Door, mint
from coordinator.gateways.clearml.envelope import SHAPE, Desk, Operation, listing, tell
from coordinator.gateways.clearml.figures import Charts
from coordinator.gateways.clearml.queues import Queues
from coordinator.gateways.clearml.tasks import Tasks
from coordinator.gateways.clearml.workers import Workers
from coordinator.gateways.kit import Gate, Gateway


def router(gate: Gate) -> APIRouter:
    """All operations."""
    made = APIRouter()
    door = Door(gate)
    login = Operation("auth.login", wire.Login, listing(token={"type": "string"}), door.login)
    parts = (Workers(gate), Charts(gate), Queues(gate), Tasks(gate))
    Desk(door, [login, *(operation for part in parts for operation in part.operations())]).add(made)
    return made


GATEWAY: Final = Gateway(
    name=translate.PROTOCOL, title="ClearML", paths=(), router=router, tell=tell, mint=mint, shape=SHAPE
)
