"""Parked messages, and the farm in numbers."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from schemas.views.base import View
from schemas.views.workers import Connection, QueueView


class ParkedState(StrEnum):
    """What became of a parked message."""

    PARKED = "parked"
    REPLAYED = "replayed"
    DROPPED = "dropped"


class ParkedView(View):
    """A message that was put aside, and why."""

    id: int
    at: datetime
    queue: str
    routing_key: str
    size: int
    user_id: str | None
    message_id: str | None
    reason: str
    field: str
    detail: str
    state: ParkedState
    closed_at: datetime | None
    closed_by: str | None


class WatchedTaskView(View):
    """A task that a worker behind a gateway has from elsewhere, as far as its protocol tells of it. Times are by its
    clock."""

    number: int
    protocol: str
    foreign_id: str
    name: str | None
    worker: str | None
    queue: str | None
    state: str
    args: str | None
    keywords: str | None
    retries: int | None
    sent_at: datetime | None
    received_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    run_s: float | None
    result: str | None
    error: str | None


class ParkedDetail(ParkedView):
    """It with its bytes, as base64 and as text (what is not UTF-8 shown as a replacement character)."""

    headers: dict[str, Any]
    body: str
    text: str


class WorkerCount(View):
    """How many workers are alike, and their slots."""

    connection: Connection
    duty: str
    protocol: str
    workers: int
    slots: int
    used: int


class Numbers(View):
    """The farm's gauges. `freezes` is guard -> how many.

    `tasks` is queue -> state -> count, of tasks that are not finished; blocked and scheduled ones are counted under
    their job's queue.
    """

    at: datetime
    workers: list[WorkerCount]
    queues: list[QueueView]
    jobs: dict[str, int]
    tasks: dict[str, dict[str, int]]
    parked: dict[str, int]
    freezes: dict[str, int] = Field(default_factory=dict)


class CoordinatorView(View):
    """A coordinator of the farm.

    It has heard the workers without a break since `listening_since`, and consumed something of each queue last at
    `events_at` and `heartbeats_at` (canaries keep these fresh). `hears_broker`: it is told of connections that close.
    """

    id: str
    software: str
    started_at: datetime
    seen_at: datetime
    listening_since: datetime
    events_at: datetime
    heartbeats_at: datetime
    hears_broker: bool


class GuardState(StrEnum):
    """How losses are held back: not at all for whom an operator has `opened`."""

    FROZEN = "frozen"
    LIMITED = "limited"
    OPENED = "opened"


class FreezeView(View):
    """Where workers that are not heard are not given up: in a zone where many fell silent together, or (`zone` null) on
    the whole farm while a coordinator consumes nothing. `suspects` of so many `workers` when it began (of the farm:
    coordinators)."""

    zone: str | None
    guard: GuardState
    since: datetime
    workers: int
    suspects: int
    lost: int


class FarmInfo(View):
    """The farm in numbers."""

    version: str
    protocol: int
    coordinator: str
    time: datetime
    coordinators: list[CoordinatorView]
    freezes: list[FreezeView]
    workers: dict[str, int]
    slots: int
    slots_used: int
    jobs: dict[str, int]
    ready: int
    running: int
    parked: int
