"""What the inside needs of the outside: the road (deliveries in, commands out), and others' brokers.

`storage` and `transport` implement these; operations and handlers know nothing else of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from schemas.base import Message


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message as it came from a queue, undecoded. `tag` grows along one `channel` (a generation number)."""

    queue: str
    routing_key: str
    body: bytes
    channel: int
    tag: int
    user_id: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    content_type: str | None = None
    redelivered: bool = False
    headers: Mapping[str, Any] = field(default_factory=dict)


class Intake(Protocol):
    """Where deliveries of one queue come from, and where they are settled."""

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge *deliveries*, the oldest unsettled ones in order. Those of a closed channel are forgotten:
        the broker delivers them again. Never raises for a lost connection."""


Sink = Callable[[Sequence[Delivery]], None]


class Courier(Protocol):
    """The way out. Nothing here is a promise: what must arrive has a row, and is sent again until it has an effect."""

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Hand over *commands* (bytes: one that is JSON already) for *worker*; what gathers shares a message."""

    def reply(self, queue: str, correlation_id: str | None, body: Message) -> None:
        """Answer a submission on *queue*."""


@dataclass(frozen=True, slots=True)
class Source:
    """A durable queue of ours on another's broker, bound to a durable exchange as its owners declare it."""

    queue: str
    exchange: str
    exchange_type: str
    keys: tuple[str, ...]
    arguments: Mapping[str, str | int] = field(default_factory=dict)


class Guest(Protocol):
    """Somebody else's broker, where we are a guest. `consume` before `run`; canceling `run` ends it."""

    def consume(self, source: Source, sink: Sink, prefetch: int) -> None:
        """Have what comes to *source* handed to *sink*."""

    async def run(self) -> None:
        """Keep everything going."""

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge *deliveries*, of whichever queue."""

    def had_waited(self, delivery: Delivery) -> bool:
        """Whether it lay in its queue when we began to consume: nobody knows for how long."""


#: Makes a guest's line to the broker of a URL, for a purpose (a word).
Dial = Callable[[str, str], Guest]
