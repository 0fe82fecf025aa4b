"""Exchanges, queues and bindings as data: the one declaration that both sides carry out.

Holds on RabbitMQ 3.10 and on 4.x: only durable or exclusive queues, the queue type always said, no argument that
anyone would want to tune later (arguments cannot be changed; a policy can).
"""

from dataclasses import dataclass, field
from typing import Final

EVENTS_EXCHANGE: Final = "farmhand.events"
EVENTS_QUEUE: Final = "farmhand.events"
HEARTBEATS_QUEUE: Final = "farmhand.heartbeats"
LOGS_QUEUE: Final = "farmhand.logs"
PARKING_QUEUE: Final = "farmhand.parking"
WORKER_QUEUE_PREFIX: Final = "farmhand.worker."

#: The AMQP heartbeat of our connections, in seconds. The client library gives a silent connection up after three times
#: that and a little: well within the 30 s after which a silent worker is lost, so that a connection that is half open
#: costs it nothing.
AMQP_HEARTBEAT_S: Final = 5
_DAY_MS: Final = 24 * 3600 * 1000


@dataclass(frozen=True)
class Exchange:
    """An exchange, durable."""

    name: str
    type: str


@dataclass(frozen=True)
class Queue:
    """A durable queue and the keys that bind it to the events exchange."""

    name: str
    arguments: dict[str, str | int] = field(default_factory=dict)
    keys: tuple[str, ...] = ()


EXCHANGES: Final = (Exchange(EVENTS_EXCHANGE, "topic"),)

#: All that must not be lost: quorum queues fsync before they confirm. What is delivered a hundred times without an
#: acknowledgement goes to the parking queue.
EVENTS: Final = Queue(
    EVENTS_QUEUE,
    {
        "x-queue-type": "quorum",
        "x-delivery-limit": 100,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": PARKING_QUEUE,
    },
    ("ev.#", "job.#"),
)
#: An old heartbeat is worth nothing, and a flood of them must not block the rest.
HEARTBEATS: Final = Queue(
    HEARTBEATS_QUEUE,
    {"x-queue-type": "classic", "x-message-ttl": 60_000, "x-max-length": 50_000, "x-overflow": "drop-head"},
    ("hb.#",),
)
#: Refuses when full: the agent keeps its chunks and sends them later.
LOGS: Final = Queue(
    LOGS_QUEUE,
    {"x-queue-type": "classic", "x-max-length-bytes": 256 * 1024 * 1024, "x-overflow": "reject-publish"},
    ("log.#",),
)
#: The way out for what the broker gives up on.
PARKING: Final = Queue(PARKING_QUEUE, {"x-queue-type": "quorum"})

QUEUES: Final = (PARKING, EVENTS, HEARTBEATS, LOGS)


def worker_queue(worker: str) -> Queue:
    """The queue of *worker*'s commands: for ever these arguments, whoever declares it."""
    return Queue(WORKER_QUEUE_PREFIX + worker, {"x-queue-type": "classic", "x-expires": 7 * _DAY_MS})


def heartbeat_key(worker: str) -> str:
    """Routing key of *worker*'s heartbeats."""
    return f"hb.{worker}"


def event_key(worker: str) -> str:
    """Routing key of *worker*'s events."""
    return f"ev.{worker}"


def log_key(worker: str) -> str:
    """Routing key of *worker*'s log chunks."""
    return f"log.{worker}"


def job_key(submitter: str) -> str:
    """Routing key of *submitter*'s submissions."""
    return f"job.{submitter}"


#: Where RabbitMQ tells what happens to it, when its plugin `rabbitmq_event_exchange` is on: a broker's own exchange.
BROKER_EVENTS_EXCHANGE: Final = "amq.rabbitmq.event"
CONNECTION_CLOSED: Final = "connection.closed"
CONNECTION_CREATED: Final = "connection.created"
BINDING_CREATED: Final = "binding.created"


def broker_events_queue(coordinator: str, connection: str) -> str:
    """Name of a coordinator's own queue of the broker's events: exclusive, and another for each connection."""
    return f"farmhand.broker-events.{coordinator}.{connection}"


def consuming_connection(worker: str, instance: str, number: int) -> str:
    """Name of an agent's connection that consumes its queue: another for each that it makes, so that the end of an old
    one says nothing of the new one."""
    return f"w/{worker}/{instance}/c{number}"


def consumer_of(connection: str) -> tuple[str, str] | None:
    """Worker and instance, when *connection* is the name of an agent's consuming connection."""
    words = connection.split("/")
    if len(words) != 4 or words[0] != "w" or not words[1] or not words[2] or not words[3].startswith("c"):  # noqa: PLR2004
        return None
    return words[1], words[2]


def coordinator_connection(coordinator: str, purpose: str, life: str) -> str:
    """Name of a coordinator's connection for this purpose, which is `consume` where it matters to others."""
    return f"farmhand.coordinator.{coordinator}.{purpose}.{life}"


def is_coordinator(connection: str) -> bool:
    """Whether *connection* is the name of a coordinator's consuming connection."""
    return connection.startswith("farmhand.coordinator.") and ".consume." in connection


#: No worker can have this name.
CANARY: Final = "-"


def canary_key(queue: str, coordinator: str) -> str:
    """Routing key of a coordinator's message to itself through the queue of this first word."""
    return f"{queue}.{CANARY}.{coordinator}"


def is_canary(routing_key: str) -> bool:
    """Whether it is such a message."""
    return sender_of(routing_key).startswith(CANARY + ".")


def sender_of(routing_key: str) -> str:
    """Who a routing key says it is from: all that follows the first dot."""
    return routing_key.partition(".")[2]
