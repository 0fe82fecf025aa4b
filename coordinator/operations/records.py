"""The small rows that a ledger holds beside those of the domain.

What was loaded for one sort of event, and what is written once.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from coordinator.domain.access import Token
from coordinator.domain.idle import IdlePolicy, IdleRow
from coordinator.domain.times import Times
from coordinator.operations.ports import Delivery
from coordinator.operations.wanted import Key


class Dependent(NamedTuple):
    """A task that waits for another: until it is accepted, or until its outputs are promoted."""

    task_id: int
    promoted: bool


class Accusation(NamedTuple):
    """A task of this class was failed by this worker and nobody else (`delta` 1), or by somebody else too (-1)."""

    job_id: int
    class_id: int
    worker_id: str
    delta: int


class Watched(NamedTuple):
    """An attempt that may have had its time, and its last sign."""

    task: int
    attempt: int
    times: Times
    started_at: datetime
    heard_at: datetime


class Expired(NamedTuple):
    """A spec whose deadline has passed: tasks of it that are not finished, and from which task on to look for more."""

    spec: int
    deadline: datetime
    tasks: list[int]
    next: int | None


@dataclass
class Watch:
    """Limits of time: attempts that may have had theirs, deadlines that have passed; and what is written of them:
    deadlines that were applied, watched attempts that gave a sign, and when to look at others again."""

    overdue: list[Watched] = field(default_factory=list)
    expired: list[Expired] = field(default_factory=list)
    applied: list[Expired] = field(default_factory=list)
    signs: set[Key] = field(default_factory=set)
    looks: dict[Key, datetime] = field(default_factory=dict)


class Entry(NamedTuple):
    """A row of history."""

    event: str
    job_id: int | None
    task_id: int | None
    attempt: int | None
    worker_id: str | None
    actor: str | None
    detail: dict[str, Any] | None


class Parking(NamedTuple):
    """A message that is put aside, and why."""

    delivery: Delivery
    reason: str
    field: str
    detail: str


class ParkedMessage(NamedTuple):
    """A row of parked messages."""

    id: int
    state: str
    delivery: Delivery


class NewToken(NamedTuple):
    """An API token to be kept, and who made it (and revoked it at once)."""

    token: Token
    created_by: str
    revoked_by: str | None = None


@dataclass(slots=True)
class GroupRow:
    """How many of a group's tasks are ready, and how many of their attempts have not ended."""

    id: int
    job_id: int
    class_id: int
    ready: int
    held: int = 0


@dataclass(slots=True)
class Tended:
    """Workers about which something is due by time; those that are removed, and the policy that the farm is given."""

    due: list[str] = field(default_factory=list)
    idle: dict[str, IdleRow] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    removed: set[str] = field(default_factory=set)
    idle_default: IdlePolicy | None = None
