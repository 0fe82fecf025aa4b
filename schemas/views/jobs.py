"""Jobs and tasks, their attempts, outputs and logs, and why they wait."""

from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from schemas.views.base import View
from schemas.views.rules import Paused


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
    PAUSED = "paused"
    READY = "ready"
    ASSIGNED = "assigned"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


FINISHED_JOB: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})


class WaitingClass(StrEnum):
    """What sort of reason: the task's own, nobody could run it, somebody could but not now, its turn, on its way to a
    worker, as many as are allowed run already; or that it does not wait at all."""

    SELF = "self"
    NEVER = "never"
    LATER = "later"
    TURN = "turn"
    DELIVERY = "delivery"
    LIMIT = "limit"
    RUNNING = "running"
    DONE = "done"


class Waiting(View):
    """Why a task does not run yet: a code for programs, a sentence for people."""

    code: str
    kind: WaitingClass
    sentence: str


class WaitingTasks(Waiting):
    """Why `tasks` ready tasks of a job do not run yet."""

    tasks: int


class Counts(View):
    """How many tasks of a job are in which state."""

    blocked: int = 0
    scheduled: int = 0
    paused: int = 0
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
    #: So many of its tasks may be held at once.
    limit: int | None = None
    paused: Paused | None = None


class BlockView(View):
    """A worker that gets no more tasks of this kind in the job: it failed `failures` that nobody else has failed."""

    worker: str
    kind: str
    failures: int
    failed_at: datetime
    blocked_at: datetime


class PartView(View):
    """A task of the job as it was submitted; an array stands for `count` tasks, numbered from `first_task`."""

    name: str
    kind: str
    queue: str
    first_task: int
    count: int
    after: list[str]


class JobDetail(JobView):
    """A job with its first hundred parts, why its ready tasks wait, and what its submitter decided about failure.

    `blocklisted` workers get no more tasks of some kind in it.
    """

    on_failure: str = "continue"
    late_results: str = "reject"
    max_losses: int = 5
    shortages: int = 3
    block_after: int = 3
    blocklisted: int = 0
    #: What it was made of: a template and its version, a schedule and the instant.
    origin: dict[str, Any] | None = None
    keep: bool = False
    #: Of an archived job, this and its first failures are left.
    archived_at: datetime | None = None
    archived_by: str | None = None
    archive_reason: str | None = None
    failures: list[dict[str, Any]] | None = None

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
    cause: str | None = None


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


class PictureView(OutputView):
    """A picture, and whose it is."""

    task: int


class TaskDetail(TaskView):
    """A task with its specification, its newest hundred attempts, their outputs, and why it waits."""

    spec: dict[str, Any]
    deadline: datetime | None = None
    max_run_s: float | None = None
    no_progress_s: float | None = None
    shortages: int = 0
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
