"""Workers, what they hold, and the queues that they serve."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from schemas.views.base import View
from schemas.views.rules import Paused
from schemas.views.sleep import SleepView
from schemas.worker import RequestedState


class Connection(StrEnum):
    """Whether a worker is there."""

    OFFLINE = "offline"
    ONLINE = "online"
    SUSPECT = "suspect"
    LOST = "lost"


class Amounts(View):
    """Slots, cpus (cores), memory (MiB) and gpus."""

    slots: int = 0
    cpus: float = 0
    memory_mb: int = 0
    gpus: int = 0


class Asked(View):
    """What an operator asked of a worker that it has not done yet."""

    state: RequestedState
    lazy: bool
    reason: str | None
    by: str | None
    source: str | None = None
    deadline_at: datetime | None = None


class IdleView(View):
    """What is done about a worker that is idle for `after_s` seconds; `own`: its own policy, not the farm's."""

    action: str
    after_s: float
    own: bool


class WorkerView(View):
    """A worker. `used` is what the attempts it holds take of `capacity`."""

    id: str
    protocol: str
    #: What its own protocol calls it, where it came through a gateway.
    foreign_id: str | None = None
    connection: Connection
    duty: str
    epoch: int
    software: str
    hostname: str
    kinds: list[str]
    queues: list[str]
    tags: list[str]
    labels: list[str]
    zone: str
    capacity: Amounts
    used: Amounts
    holds: int
    can_restart: bool = False
    asked: Asked | None
    reason: str | None
    online_at: datetime
    changed_at: datetime
    last_seen_at: datetime | None
    cpu_percent: float | None
    memory_percent: float | None


class HeldView(View):
    """An attempt that a worker holds."""

    task: int
    attempt: int
    job: int
    name: str
    state: str
    assigned_at: datetime
    started_at: datetime | None
    done: int | None
    total: int | None
    activity: str | None


class WorkerDetail(WorkerView):
    """A worker with its machine, and the attempts it holds (at most 500).

    `health` is 1.0 when it fails nothing; it is lessened by the `failing_jobs` in which it failed what nobody else has.
    `rests` says why it takes no work. `supervises` are the commands that it can run in exclusive tasks; `runners`,
    `secrets` and `enforces` the commands, the names of secrets and the limits of tasks that it serves (null: not said).
    """

    instance: str
    boot_id: str
    platform: dict[str, Any]
    supervises: list[str] = Field(default_factory=list)
    runners: list[str] | None = None
    secrets: list[str] | None = None
    enforces: list[str] | None = None
    health: float = 1.0
    failing_jobs: int = 0
    stats: dict[str, Any] | None
    open_sessions: int
    last_activity_at: datetime | None
    rests: str | None = None
    sleep: SleepView = SleepView(schedule=None, next_at=None)
    idle: IdleView | None = None
    held: list[HeldView]


class QueueView(View):
    """A queue: what is ready in it, what runs, since when the oldest of the next waits, and who serves it.

    `serving` are workers that take any work from it now: online, awake and not asked for anything else (one that is
    tested takes only tasks that name it, and does not count). `workers` are all that name it and are not lost or
    offline.
    """

    name: str
    waiting: int
    running: int
    oldest_ready_at: datetime | None
    serving: int
    workers: int
    limit: int | None = None
    paused: Paused | None = None
