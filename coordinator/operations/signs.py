"""What one transaction knows of workers behind gateways: their signs of life, and which of them wait for work.

Our own agents' heartbeats are written without the farm's lock and never come here. A gateway's call is an event like
any other: its sign of life is kept here, and all of a transaction's are written with one statement.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple
from uuid import UUID

from coordinator.domain.task import TaskState
from coordinator.domain.worker import Connection, Duty


class Kept(IntEnum):
    """Whether a sign of life becomes a sample of the time series: never, at most one in ten seconds, always."""

    NEVER = 0
    SOME = 1
    ALWAYS = 2


@dataclass(slots=True)
class Signs:
    """A worker's row of liveness: the newest number of what it sent, and what it said.

    `told_at` and `told_active_at` are the newest times, by its own word, at which it sent something and was active;
    `active_at` is the latter by our clock.
    """

    seq: int = 0
    told_at: datetime | None = None
    told_active_at: datetime | None = None
    active_at: datetime | None = None
    open_sessions: int = 0
    stats: Mapping[str, Any] | None = None
    #: Of all that was heard in this transaction: the most.
    kept: Kept = Kept.NEVER


@dataclass(frozen=True, slots=True)
class Handed:
    """An attempt as its worker is told of it.

    `spec` is the task as it was submitted, filled in for its element; `again`: it had it already.
    """

    task: int
    attempt: int
    run: int
    job: int
    job_priority: int
    name: str
    priority: int
    spec: Mapping[str, Any]
    #: (name, first task, accepted attempts of first, first + 1, …) of what it waited for.
    inputs: tuple[tuple[str, int, tuple[int, ...]], ...]
    done: int | None
    total: int | None
    again: bool


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Whose an attempt is, and how it stands with it and its task, as the transaction found it."""

    worker_id: str
    live: bool
    task_state: TaskState


class Caller(NamedTuple):
    """Of the row of a worker that calls, and by that changes nothing of it: what its answer needs."""

    id: str
    protocol: str
    foreign_id: str | None
    connection: Connection
    duty: Duty
    instance: UUID
    requested_state: str | None
    requested_lazy: bool
    heartbeat_s: float | None
    lost_after_s: float | None
    software: str


@dataclass
class Foreign:
    """Of the workers that gateways speak for in this transaction."""

    signs: dict[str, Signs] = field(default_factory=dict)
    #: Attempts that were only looked at; one that was loaded in full is in the ledger, and that counts.
    glimpses: dict[tuple[int, int], Glimpse] = field(default_factory=dict)
    #: Workers that only call; one that was loaded in full is in the ledger, and that counts.
    callers: dict[str, Caller] = field(default_factory=dict)
    #: Those that gave a sign of life; and of them those whose signs say more than that they live.
    heard: set[str] = field(default_factory=set)
    telling: set[str] = field(default_factory=set)
    #: Who asks for work, and what he is handed, filled in when the transaction has assigned.
    asking: dict[str, list[Handed]] = field(default_factory=dict)
    #: Of those the ones that want it from these queues only, whichever they serve.
    only_from: dict[str, list[str]] = field(default_factory=dict)
