"""A worker's connection, what it is willing to do, and what it is asked for.

    offline -> online -> suspect -> lost, and back by a new `worker.online`

Busy is not a state (it is "holds attempts"); not hearing is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from coordinator.domain.outcome import Refused
from coordinator.domain.reason import Reason


class Connection(StrEnum):
    """What we hear of a worker."""

    OFFLINE = "offline"
    ONLINE = "online"
    SUSPECT = "suspect"
    LOST = "lost"


class Duty(StrEnum):
    """What a worker is willing to do."""

    AWAKE = "awake"
    ASLEEP = "asleep"
    DRAINING = "draining"
    ERROR = "error"
    TESTING = "testing"
    STARTING = "starting"
    QUARANTINED = "quarantined"


class Asked(StrEnum):
    """What a worker can be asked for."""

    AWAKE = "awake"
    ASLEEP = "asleep"
    DRAIN = "drain"
    ERROR = "error"
    TESTING = "testing"
    QUARANTINED = "quarantined"
    RESTART = "restart"
    OFFLINE = "offline"


class Ends(StrEnum):
    """When a request ends."""

    DONE = "when it is so"
    REPLACED = "when something else is asked for"
    INSTANCE = "with the instance it was made for"


@dataclass(frozen=True, slots=True)
class Effect:
    """The duty that a request leads to (none: the worker goes), and when the request ends."""

    duty: Duty | None
    ends: Ends


EFFECTS: Final[Mapping[Asked, Effect]] = {
    Asked.AWAKE: Effect(Duty.AWAKE, Ends.DONE),
    Asked.ASLEEP: Effect(Duty.ASLEEP, Ends.REPLACED),
    Asked.DRAIN: Effect(Duty.DRAINING, Ends.REPLACED),
    Asked.ERROR: Effect(Duty.ERROR, Ends.REPLACED),
    Asked.TESTING: Effect(Duty.TESTING, Ends.REPLACED),
    Asked.QUARANTINED: Effect(Duty.QUARANTINED, Ends.REPLACED),
    Asked.RESTART: Effect(None, Ends.INSTANCE),
    Asked.OFFLINE: Effect(None, Ends.INSTANCE),
}
#: The request that keeps a worker in this duty.
KEEPS: Final[Mapping[Duty, Asked]] = {
    effect.duty: asked for asked, effect in EFFECTS.items() if effect.duty is not None
}


class WorkerEvent(StrEnum):
    """What can happen to a worker's connection."""

    CAME = "came"  # said `worker.online`
    HEARD = "heard"  # a heartbeat of the current epoch
    LATE = "late"  # two heartbeats are missing
    CUT = "cut"  # the broker says that its consuming connection closed
    DIALLED = "dialled"  # the broker says that its instance has connected again
    SILENT = "silent"  # nothing for `lost_after`
    ABANDONED = "abandoned"  # cut, and not back within the reconnect grace
    LEFT = "left"  # said `worker.offline`


_S, _E = Connection, WorkerEvent
TRANSITIONS: Final[Mapping[Connection, Mapping[WorkerEvent, Connection]]] = {
    _S.OFFLINE: {_E.CAME: _S.ONLINE},
    _S.ONLINE: {
        _E.CAME: _S.ONLINE,
        _E.HEARD: _S.ONLINE,
        _E.LATE: _S.SUSPECT,
        _E.CUT: _S.SUSPECT,
        _E.SILENT: _S.LOST,
        _E.LEFT: _S.OFFLINE,
    },
    _S.SUSPECT: {
        _E.CAME: _S.ONLINE,
        _E.HEARD: _S.ONLINE,
        _E.CUT: _S.SUSPECT,
        _E.DIALLED: _S.SUSPECT,
        _E.SILENT: _S.LOST,
        _E.ABANDONED: _S.LOST,
        _E.LEFT: _S.OFFLINE,
    },
    _S.LOST: {_E.CAME: _S.ONLINE},
}

#: The worker's epoch goes on: messages under it are current.
PRESENT: Final = frozenset({_S.ONLINE, _S.SUSPECT})


def decide(state: Connection, event: WorkerEvent) -> Connection | Refused:
    """What *event* makes of a worker whose connection is in *state*."""
    return TRANSITIONS[state].get(event) or Refused(state, event)


@dataclass(slots=True)
class Worker:
    """A worker's row."""

    id: str
    connection: Connection
    duty: Duty
    epoch: int
    instance: UUID
    kinds: list[str]
    queues: list[str]
    slots: int
    protocol: str = "native"
    #: What its own protocol calls it; None for our own agents.
    foreign_id: str | None = None
    #: How often it says something and after how much silence it is lost, in seconds; None: as the farm's own agents.
    heartbeat_s: float | None = None
    lost_after_s: float | None = None
    boot_id: str = ""
    software: str = ""
    platform: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    zone: str = "default"
    cpus: float = 0.0
    memory_mb: int = 0
    gpus: int = 0
    can_restart: bool = False
    supervises: list[str] = field(default_factory=list)
    #: The commands, secrets and limits that it can serve; None: it has not said, and nothing is asked of it.
    runners: list[str] | None = None
    secrets: list[str] | None = None
    enforces: list[str] | None = None
    requested_state: str | None = None
    requested_lazy: bool = True
    requested_reason: str | None = None
    requested_by: str | None = None
    requested_instance: UUID | None = None
    #: Who asks: a `Source` of `domain.asking`.
    requested_source: str | None = None
    requested_at: datetime | None = None
    #: A lazy request that is not done by then goes on at once.
    requested_deadline_at: datetime | None = None
    #: What it was asked for before it was asked to go, and is asked for again when it is back.
    resume: dict[str, str | None] | None = None
    #: Its newest lives, to notice two that take turns.
    arrivals: list[dict[str, str]] = field(default_factory=list)
    sleep_schedule: dict[str, Any] | None = None
    sleep_next_at: datetime | None = None
    #: None: the farm's policy.
    idle_action: str | None = None
    idle_after_s: float | None = None
    idle_noted_at: datetime | None = None
    idle_refused_at: datetime | None = None
    reason: str | None = None
    #: The name of the connection on which it consumes, as it told us.
    connection_name: str = ""
    #: Since when it is suspect; kept while it is lost.
    suspect_at: datetime | None = None
    #: When the broker said that this connection closed, while nothing has shown that it is back.
    cut_at: datetime | None = None


def continues(worker: Worker, instance: UUID) -> bool:
    """Whether a `worker.online` of *instance* continues the worker's epoch. `lost` and `offline` end an epoch."""
    return worker.connection in PRESENT and worker.instance == instance


def fulfilled(requested: str, duty: Duty) -> bool:
    """Whether a worker of this duty has what was requested of it. `offline` and `restart` end with the instance."""
    return EFFECTS[Asked(requested)].duty is duty


def is_outstanding(worker: Worker, duty: Duty, *, runs: bool) -> bool:
    """Whether a worker that says it has this *duty*, and whether it *runs* something, is to be told its request again.

    What was asked for at once is not done before the work is handed back.
    """
    if worker.requested_state is None:
        return False
    if not fulfilled(worker.requested_state, duty):
        return True
    return runs and not worker.requested_lazy and duty is not Duty.AWAKE and duty is not Duty.TESTING


#: Why a worker of this duty takes nothing; awake is no reason, and testing none against tasks that name it.
_RESTING: Final[Mapping[Duty, Reason]] = {
    Duty.ASLEEP: Reason.ASLEEP,
    Duty.DRAINING: Reason.DRAINING,
    Duty.ERROR: Reason.UNWELL,
    Duty.STARTING: Reason.STARTING,
    Duty.QUARANTINED: Reason.QUARANTINED,
}


def unwilling(worker: Worker) -> Iterator[Reason]:
    """Why it may not be given anything at all just now: all that is against it."""
    if worker.connection is Connection.SUSPECT:
        yield Reason.SUSPECT
    elif worker.connection is not Connection.ONLINE:
        yield Reason.GONE
    resting = _RESTING.get(worker.duty)
    if resting is not None:
        yield resting
    asked = worker.requested_state
    if asked is not None and not fulfilled(asked, worker.duty) and (resting is None or asked != Asked.AWAKE):
        yield Reason.ASKED_TO_STOP


def takes_work(worker: Worker) -> bool:
    """Whether it may be given anything at all: nothing in `unwilling` is against it."""
    return next(unwilling(worker), None) is None


#: A label that each worker has without anybody's approval: nobody else has it.
OWN_LABEL: Final = "worker:"


def is_own(label: str) -> bool:
    """Whether *label* names one worker, so that nobody can approve it for another."""
    return label.startswith(OWN_LABEL)


def has_labels(worker: Worker, wanted: frozenset[str]) -> bool:
    """Whether it has all the labels *wanted*: those approved for it, and its own."""
    return not wanted or wanted.issubset((*worker.labels, OWN_LABEL + worker.id))


def is_named(worker: Worker, wanted: frozenset[str]) -> bool:
    """Whether the labels *wanted* name this worker."""
    return OWN_LABEL + worker.id in wanted
