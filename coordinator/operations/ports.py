"""What the inside needs of the outside: the road (deliveries in, commands out), and others' brokers.

`storage` and `transport` implement these; operations and handlers know nothing else of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
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
    """A queue of ours on another's broker, durable or ours alone, bound to an exchange as its owners declare it."""

    queue: str
    exchange: str
    exchange_type: str
    keys: tuple[str, ...]
    arguments: Mapping[str, str | int] = field(default_factory=dict)
    durable_exchange: bool = True
    exclusive: bool = False


@dataclass(frozen=True, slots=True)
class Post:
    """A message to another's broker, JSON in UTF-8. A `lasting` one outlives the broker's restart."""

    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, Any] = field(default_factory=dict)
    correlation_id: str | None = None
    reply_to: str | None = None
    lasting: bool = False
    #: It must reach a queue; otherwise it may reach none.
    certain: bool = False


class Guest(Protocol):
    """Somebody else's broker, where we are a guest. `consume` before `run`; canceling `run` ends it."""

    @property
    def connected(self) -> bool: ...  # noqa: D102

    def consume(self, source: Source, sink: Sink, prefetch: int) -> None:
        """Have what comes to *source* handed to *sink*."""

    async def run(self) -> None:
        """Keep everything going."""

    async def settle(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge *deliveries*, of whichever queue."""

    def had_waited(self, delivery: Delivery) -> bool:
        """Whether it lay in its queue when we began to consume: nobody knows for how long."""

    async def publish(self, post: Post) -> None:
        """Hand *post* to the broker. Raises UnavailableError when it is not certain that the broker has it."""

    async def purge(self, queue: str) -> None:
        """Drop what waits in a queue. Raises UnavailableError."""

    async def depth(self, queue: str) -> tuple[int, int] | None:
        """How many messages wait in a queue and how many consume it; None: there is no such queue. Raises
        UnavailableError."""


#: Makes a guest's line to the broker of a URL, for a purpose (a word).
Dial = Callable[[str, str], Guest]


@dataclass(slots=True)
class WatchedTask:
    """What was told of a task that a worker has from elsewhere: `told_at` is when, by the clock of who told it."""

    foreign_id: str
    state: str
    told_at: datetime
    name: str | None = None
    worker: str | None = None
    queue: str | None = None
    args: str | None = None
    kwargs: str | None = None
    retries: int | None = None
    sent_at: datetime | None = None
    received_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    run_s: float | None = None
    result: str | None = None
    error: str | None = None


class Watched(Protocol):
    """Where such tasks are kept. Raises UnavailableError when the database is away."""

    async def keep(self, protocol: str, tasks: Sequence[WatchedTask]) -> None:
        """Take over what was told of *tasks*, each of them once."""

    async def forget(self, protocol: str, days: int) -> int:
        """Forget some of which nothing was heard for *days*; how many."""
