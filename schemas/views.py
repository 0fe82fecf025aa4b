"""What the HTTP API answers: the farm as people and programs see it, read from the rows.

Instants are aware UTC, durations seconds, sizes bytes. A client ignores fields that it does not know, so that a newer
coordinator may say more.
"""

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from schemas.base import Strict, Text, Word
from schemas.worker import RequestedState


class View(BaseModel):
    """Something to be shown. Immutable; unknown fields are ignored.

    Built when first used, so that a command that shows one thing does not wait for all the others.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class JobState(StrEnum):
    """Where a job is; derived from its tasks."""

    ACTIVE = "active"
    CANCELING = "canceling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class TaskState(StrEnum):
    """Where a task is."""

    BLOCKED = "blocked"
    SCHEDULED = "scheduled"
    READY = "ready"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


class Connection(StrEnum):
    """Whether a worker is there."""

    OFFLINE = "offline"
    ONLINE = "online"
    SUSPECT = "suspect"
    LOST = "lost"


class ParkedState(StrEnum):
    """What became of a parked message."""

    PARKED = "parked"
    REPLAYED = "replayed"
    DROPPED = "dropped"


FINISHED_JOB = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})

V = TypeVar("V")


class Page(View, Generic[V]):
    """Some of the things asked for, and the cursor of the next page (None: that was all)."""

    items: list[V]
    next: int | str | None = None


class Problem(View):
    """Why a request was not carried out (RFC 9457): `detail` is one line that says what to do."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


# --- why something waits -----------------------------------------------------------------------------------


class WaitingClass(StrEnum):
    """Who can end the wait: the thing itself, nobody before something is changed, or time alone."""

    SELF = "self"
    NEVER = "never"
    LATER = "later"
    TURN = "turn"
    DELIVERY = "delivery"


class Waiting(View):
    """Why a task does not run yet: a code for programs, a sentence for people."""

    code: str
    kind: WaitingClass
    sentence: str


class WaitingTasks(Waiting):
    """Why `tasks` ready tasks of a job do not run yet."""

    tasks: int


# --- jobs and tasks ----------------------------------------------------------------------------------------


class Counts(View):
    """How many tasks of a job are in which state."""

    blocked: int = 0
    scheduled: int = 0
    ready: int = 0
    assigned: int = 0
    running: int = 0
    completed: int = 0
    failed: int = 0
    canceled: int = 0


class JobView(View):
    """A job. `expanded` of its `total` tasks have been made so far; `counts` are of those."""

    id: int
    name: str
    key: str | None
    submitter: str
    queue: str
    priority: int
    state: JobState
    total: int
    expanded: int
    counts: Counts
    cancel_reason: str | None
    submitted_at: datetime
    finished_at: datetime | None


class PartView(View):
    """A task of the job as it was submitted; an array stands for `count` tasks, numbered from `first_task`."""

    name: str
    kind: str
    queue: str
    first_task: int
    count: int
    after: list[str]


class JobDetail(JobView):
    """A job with its first hundred parts, and why its ready tasks wait."""

    parts: list[PartView]
    waiting: list[WaitingTasks]


class TaskView(View):
    """A task. `worker`, `done`, `total`, `activity` and `error` are those of its newest attempt."""

    id: int
    job: int
    name: str
    kind: str
    queue: str
    state: TaskState
    priority: int
    run: int
    attempt: int
    accepted_attempt: int | None
    failures: int
    losses: int
    not_before: datetime | None
    reason: str | None
    changed_at: datetime
    worker: str | None
    done: int | None
    total: int | None
    activity: str | None
    error: str | None


class AttemptView(View):
    """An attempt: who ran it, when, and how it ended."""

    attempt: int
    run: int
    worker: str
    epoch: int
    state: str
    ending: str | None
    accepted: bool
    assigned_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    promoted_at: datetime | None
    exit_code: int | None
    error: str | None
    result: Any
    run_s: float | None
    done: int | None
    total: int | None
    activity: str | None


class OutputView(View):
    """A file that an attempt made; `stored` says that the coordinator holds a copy."""

    attempt: int
    name: str
    size: int
    digest: str
    media_type: str | None
    stored: bool
    location: str | None
    at: datetime


class TaskDetail(TaskView):
    """A task with its specification, its newest hundred attempts, their outputs, and why it waits."""

    spec: dict[str, Any]
    failed_on: list[str]
    retries: int
    unmet: int
    attempts: list[AttemptView]
    outputs: list[OutputView]
    waiting: Waiting | None


class LogPart(View):
    """A piece of an attempt's log. Ask again `after` = `last`; while `live`, more may come."""

    text: str
    attempt: int
    last: int
    live: bool


class LogSpan(View):
    """Which chunks of an attempt's log there are to read: those after `after`, up to `last`.

    `day` is the day that the chunks are filed under; `live` says that more may come.
    """

    task: int
    attempt: int
    day: date
    after: int
    last: int
    live: bool
    truncated: bool


class Entry(View):
    """One event of a story."""

    id: int
    at: datetime
    event: str
    job: int | None
    task: int | None
    attempt: int | None
    worker: str | None
    actor: str | None
    detail: dict[str, Any] | None


# --- workers and queues ------------------------------------------------------------------------------------


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


class WorkerView(View):
    """A worker. `used` is what the attempts it holds take of `capacity`."""

    id: str
    protocol: str
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
    """A worker with its machine, and the attempts it holds (at most 500)."""

    instance: str
    boot_id: str
    platform: dict[str, Any]
    can_restart: bool
    stats: dict[str, Any] | None
    open_sessions: int
    last_activity_at: datetime | None
    held: list[HeldView]


class QueueView(View):
    """A queue: what is ready in it, what runs, since when the oldest of the next waits, and who serves it.

    `serving` are workers that take work from it now, `workers` all that name it and are not lost or offline.
    """

    name: str
    waiting: int
    running: int
    oldest_ready_at: datetime | None
    serving: int
    workers: int


# --- parked messages and the farm --------------------------------------------------------------------------


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


class Submitted(View):
    """The job, and whether this submission made it (false: an earlier one with the same key did)."""

    job: int
    created: bool
    tasks: int


class Changed(View):
    """How many things the request changed; a large job goes on in the background."""

    count: int
    continues: bool = False


# --- what is asked -----------------------------------------------------------------------------------------


class Reason(Strict):
    """Why an operator does something."""

    reason: Text | None = None


class RequeueJob(Reason):
    """Start the next run of a job's failed tasks, and of its canceled ones too if asked."""

    canceled: bool = False


class StateWish(Reason):
    """The state that a worker is asked for: when what it holds has ended (`lazy`), or at once."""

    state: RequestedState
    lazy: bool = True


class Labels(Strict):
    """Exactly these labels are approved."""

    labels: Annotated[list[Word], Field(max_length=64)]
