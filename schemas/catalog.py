"""Every message by its name: its model, the road it takes, and the envelope it takes it in.

The one place where names, routing keys and queues meet; JSON Schemas, the AsyncAPI document and the tests are made
from it. `{worker}` and `{submitter}` stand for a worker's id and a submitter's name.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from schemas import topology
from schemas.base import Message, UndecodableError
from schemas.envelope import FromSubmitter, FromWorker, JobSubmit, SubmitReply, ToWorker
from schemas.spawn import TaskSpawn
from schemas.task import (
    Assign,
    Revoke,
    TaskFinished,
    TaskLog,
    TaskOutput,
    TaskProgress,
    TaskPromoted,
    TaskStarted,
    Verdicts,
)
from schemas.worker import (
    BeatAck,
    RequestState,
    Reset,
    Welcome,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
    WorkerStateChanged,
)


class Party(StrEnum):
    """Who speaks, and to whom."""

    WORKER = "worker"
    COORDINATOR = "coordinator"
    SUBMITTER = "submitter"


@dataclass(frozen=True)
class Road:
    """A way from one party to another.

    Published to `exchange` (the default one is "") under `key`, taken from `queue`; both may hold a placeholder.
    `queue` is None where the sender names it (`reply_to`). What is not `persistent` may be lost, because the next one
    says it again. `mandatory`: the sender wants to hear when no queue takes it.
    """

    name: str
    sender: Party
    receiver: Party
    exchange: str
    key: str
    queue: topology.Queue | None
    envelope: type[Message]
    persistent: bool = True
    mandatory: bool = True

    @property
    def placeholder(self) -> str | None:
        """The word in braces, if there is one."""
        return self.key.partition("{")[2].partition("}")[0] or None


@dataclass(frozen=True)
class Entry:
    """One message: `name` is its `type` on the wire (the reply has none: it travels alone)."""

    name: str
    model: type[Message]
    road: Road

    @property
    def alone(self) -> bool:
        """Whether it is the whole message, not an item of an envelope's list."""
        return self.model is self.road.envelope


_WORKER: Final = "{worker}"
_COMMAND_QUEUE: Final = topology.worker_queue(_WORKER)

EVENTS: Final = Road(
    name="events",
    sender=Party.WORKER,
    receiver=Party.COORDINATOR,
    exchange=topology.EVENTS_EXCHANGE,
    key=topology.event_key(_WORKER),
    queue=topology.EVENTS,
    envelope=FromWorker,
)
HEARTBEATS: Final = Road(
    name="heartbeats",
    sender=Party.WORKER,
    receiver=Party.COORDINATOR,
    exchange=topology.EVENTS_EXCHANGE,
    key=topology.heartbeat_key(_WORKER),
    queue=topology.HEARTBEATS,
    envelope=FromWorker,
    persistent=False,
    mandatory=False,
)
LOGS: Final = Road(
    name="logs",
    sender=Party.WORKER,
    receiver=Party.COORDINATOR,
    exchange=topology.EVENTS_EXCHANGE,
    key=topology.log_key(_WORKER),
    queue=topology.LOGS,
    envelope=FromWorker,
)
COMMANDS: Final = Road(
    name="commands",
    sender=Party.COORDINATOR,
    receiver=Party.WORKER,
    exchange="",
    key=_COMMAND_QUEUE.name,
    queue=_COMMAND_QUEUE,
    envelope=ToWorker,
)
SUBMISSIONS: Final = Road(
    name="submissions",
    sender=Party.SUBMITTER,
    receiver=Party.COORDINATOR,
    exchange=topology.EVENTS_EXCHANGE,
    key=topology.job_key("{submitter}"),
    queue=topology.EVENTS,
    envelope=FromSubmitter,
)
REPLIES: Final = Road(
    name="replies",
    sender=Party.COORDINATOR,
    receiver=Party.SUBMITTER,
    exchange="",
    key="",
    queue=None,
    envelope=SubmitReply,
    persistent=False,
)
ROADS: Final = (EVENTS, HEARTBEATS, LOGS, COMMANDS, SUBMISSIONS, REPLIES)


def _entry(model: type[Message], road: Road) -> Entry:
    return Entry(model.model_fields["type"].default, model, road)


CATALOG: Final = (
    _entry(WorkerOnline, EVENTS),
    _entry(WorkerStateChanged, EVENTS),
    _entry(WorkerOffline, EVENTS),
    _entry(TaskStarted, EVENTS),
    _entry(TaskProgress, EVENTS),
    _entry(TaskOutput, EVENTS),
    _entry(TaskFinished, EVENTS),
    _entry(TaskPromoted, EVENTS),
    _entry(TaskSpawn, EVENTS),
    _entry(WorkerHeartbeat, HEARTBEATS),
    _entry(TaskLog, LOGS),
    _entry(Welcome, COMMANDS),
    _entry(Reset, COMMANDS),
    _entry(Assign, COMMANDS),
    _entry(Revoke, COMMANDS),
    _entry(RequestState, COMMANDS),
    _entry(BeatAck, COMMANDS),
    _entry(Verdicts, COMMANDS),
    _entry(JobSubmit, SUBMISSIONS),
    Entry("job.reply", SubmitReply, REPLIES),
)

#: Envelopes by the name of their JSON Schema.
ENVELOPES: Final[dict[str, type[Message]]] = {
    "from-worker": FromWorker,
    "to-worker": ToWorker,
    "from-submitter": FromSubmitter,
}


_QUEUE_OF: Final = {entry.model: entry.road.queue.name for entry in CATALOG if entry.road.queue is not None}


def refuse_misplaced(queue: str, message: FromWorker) -> None:
    """Raise `UndecodableError("misplaced", …)` unless every event of *message* is one that comes by *queue*."""
    for index, event in enumerate(message.events):
        rightly = _QUEUE_OF[type(event)]
        if rightly != queue:
            detail = f"{event.type} comes by {rightly}, not by {queue}"
            raise UndecodableError("misplaced", f"events.{index}", detail)


def messages_of(road: Road) -> tuple[Entry, ...]:
    """The messages that take *road*."""
    return tuple(entry for entry in CATALOG if entry.road is road)
