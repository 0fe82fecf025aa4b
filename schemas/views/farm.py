"""Parked messages, and the farm in numbers."""

from datetime import datetime
from enum import StrEnum
from typing import Any

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
    """The farm's gauges.

    `tasks` is queue -> state -> count, of tasks that are not finished; blocked and scheduled ones are counted under
    their job's queue.
    """

    at: datetime
    workers: list[WorkerCount]
    queues: list[QueueView]
    jobs: dict[str, int]
    tasks: dict[str, dict[str, int]]
    parked: dict[str, int]


class CoordinatorView(View):
    """A coordinator of the farm."""

    id: str
    software: str
    started_at: datetime
    seen_at: datetime


class FarmInfo(View):
    """The farm in numbers."""

    version: str
    protocol: int
    coordinator: str
    time: datetime
    coordinators: list[CoordinatorView]
    workers: dict[str, int]
    slots: int
    slots_used: int
    jobs: dict[str, int]
    ready: int
    running: int
    parked: int
