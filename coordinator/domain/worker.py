"""A worker's connection, and what it is willing to do.

    offline -> online -> suspect -> lost, and back by a new `worker.online`

Busy is not a state (it is "holds attempts"); not hearing is.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from uuid import UUID

from coordinator.domain.outcome import Refused
from coordinator.domain.why import Reason


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


class WorkerEvent(StrEnum):
    """What can happen to a worker's connection."""

    CAME = "came"  # said `worker.online`
    HEARD = "heard"  # a heartbeat of the current epoch
    LATE = "late"  # two heartbeats are missing
    SILENT = "silent"  # nothing for `lost_after`
    LEFT = "left"  # said `worker.offline`


_S, _E = Connection, WorkerEvent
TRANSITIONS: Final[Mapping[Connection, Mapping[WorkerEvent, Connection]]] = {
    _S.OFFLINE: {_E.CAME: _S.ONLINE},
    _S.ONLINE: {
        _E.CAME: _S.ONLINE,
        _E.HEARD: _S.ONLINE,
        _E.LATE: _S.SUSPECT,
        _E.SILENT: _S.LOST,
        _E.LEFT: _S.OFFLINE,
    },
    _S.SUSPECT: {
        _E.CAME: _S.ONLINE,
        _E.HEARD: _S.ONLINE,
        _E.SILENT: _S.LOST,
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
    requested_state: str | None = None
    requested_lazy: bool = True
    requested_reason: str | None = None
    requested_by: str | None = None
    requested_instance: UUID | None = None
    reason: str | None = None


def continues(worker: Worker, instance: UUID) -> bool:
    """Whether a `worker.online` of *instance* continues the worker's epoch. `lost` and `offline` end an epoch."""
    return worker.connection in PRESENT and worker.instance == instance


def fulfilled(requested: str, duty: Duty) -> bool:
    """Whether a worker of this duty has what was requested of it. `offline` and `restart` end with the instance."""
    return {"awake": Duty.AWAKE, "asleep": Duty.ASLEEP, "drain": Duty.DRAINING}.get(requested) == duty


#: Why a worker of this duty takes nothing; awake is no reason.
_RESTING: Final[Mapping[Duty, Reason]] = {
    Duty.ASLEEP: Reason.ASLEEP,
    Duty.DRAINING: Reason.DRAINING,
    Duty.ERROR: Reason.UNWELL,
    Duty.TESTING: Reason.STARTING,
    Duty.STARTING: Reason.STARTING,
    Duty.QUARANTINED: Reason.QUARANTINED,
}


def unwilling(worker: Worker) -> Iterator[Reason]:
    """Why it may not be given anything at all just now: all that is against it."""
    if worker.connection is Connection.SUSPECT:
        yield Reason.SUSPECT
    elif worker.connection is not Connection.ONLINE:
        yield Reason.GONE
    if worker.duty is not Duty.AWAKE:
        yield _RESTING[worker.duty]
    if worker.requested_state not in (None, "awake"):
        yield Reason.ASKED_TO_STOP


def takes_work(worker: Worker) -> bool:
    """Whether it may be given anything at all: nothing in `unwilling` is against it."""
    return next(unwilling(worker), None) is None
