"""A message to ourselves through each queue that must be heard: a consumer that gets nothing is rebuilt, and on a quiet
farm that would be every one of them, again and again. So nothing is never nothing: whoever consumes nothing, not even
canaries, is deaf, and its row says so (`presence`).
"""

from typing import Protocol

from schemas.topology import EVENTS_EXCHANGE, canary_key

EVERY_S = 2.0


class Road(Protocol):
    """What sends it."""

    async def publish_raw(self, exchange: str, routing_key: str, body: bytes) -> None:
        """Publish, or raise."""


class Canary:
    """Sends it. Whoever consumes it has heard something; that is all."""

    def __init__(self, coordinator: str, road: Road) -> None:
        self._coordinator = coordinator
        self._road = road

    async def sing(self) -> None:
        """One round."""
        for queue in ("ev", "hb"):
            await self._road.publish_raw(EVENTS_EXCHANGE, canary_key(queue, self._coordinator), b"{}")
