"""The whole inbound surface on one screen: queue, key, decoder, and what becomes of what cannot be read.

PARK: into the table of parked messages, with the reason. DROP: forgotten (the next one says it again).
"""

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final, NamedTuple

from coordinator.handlers import events
from coordinator.handlers.events import Decoder
from coordinator.handlers.identity import Identities
from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.ports import Courier, Delivery
from coordinator.operations.table import Canary
from schemas import topology
from schemas.base import UndecodableError
from schemas.topology import is_canary


class OnError(Enum):
    """The disposition of what cannot be read."""

    PARK = "park"
    DROP = "drop"


class Route(NamedTuple):
    """What comes in by this queue under keys of this first word."""

    queue: str
    key: str
    decode: Decoder
    on_error: OnError


ROUTES: Final = (
    Route(topology.EVENTS_QUEUE, "ev", events.from_worker, OnError.PARK),
    Route(topology.EVENTS_QUEUE, "job", events.from_submitter, OnError.PARK),
    Route(topology.PARKING_QUEUE, "*", events.given_up, OnError.PARK),
)
_BY_KEY: Final = {(route.queue, route.key): route for route in ROUTES}


class Receiver:
    """The sink of the events and parking queues."""

    def __init__(
        self,
        inbox: Inbox,
        identities: Identities,
        courier: Courier,
        living: Callable[[Item], Item] = lambda item: item,
    ) -> None:
        """*living* takes out of an item what the dead say."""
        self._living = living
        self._inbox = inbox
        self._identities = identities
        self._courier = courier

    def receive(self, deliveries: Sequence[Delivery]) -> None:
        """Into the inbox with them, decoded."""
        self._inbox.put([self._living(item) for delivery in deliveries for item in self.items(delivery)])

    def items(self, delivery: Delivery) -> list[Item]:
        """The events in *delivery*, or its parking."""
        if is_canary(delivery.routing_key):
            return [Item(Canary(), delivery=delivery)]
        word = delivery.routing_key.partition(".")[0]
        route = _BY_KEY.get((delivery.queue, word)) or _BY_KEY.get((delivery.queue, "*"))
        if route is None:
            return [events.parked(delivery, UndecodableError("unroutable", "", f"no route for key {word!r}"))]
        try:
            return route.decode(delivery, self._identities, self._courier)
        except UndecodableError as error:
            return [events.parked(delivery, error)]
