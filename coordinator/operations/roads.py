"""Which way a letter goes: to our own agents by the broker, to others as their gateway carries it."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from coordinator.domain.protocol import NATIVE
from coordinator.operations.letters import Letter
from schemas.base import Message


class Road(Protocol):
    """A way out."""

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Hand over *commands* for *worker*."""


class Roads:
    """All ways out. A letter whose gateway is off is dropped: what must arrive has a row, and is told again."""

    def __init__(self, courier: Road, others: Mapping[str, Road] | None = None) -> None:
        self._by_protocol = {NATIVE: courier, **(others or {})}

    def send(self, letter: Letter) -> None:
        """Send *letter* on its way."""
        road = self._by_protocol.get(letter.protocol)
        if road is not None:
            road.send(letter.worker, letter.epoch, letter.commands)
