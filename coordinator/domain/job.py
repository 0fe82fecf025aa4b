"""A job's state is derived from its tasks, by one rule; nobody sets it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal

from coordinator.domain.task import TaskState


class JobState(StrEnum):
    """What a job comes to. `canceling`: asked to cancel, and some of its tasks are not there yet."""

    ACTIVE = "active"
    CANCELING = "canceling"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"


JOB_FINISHED: Final = frozenset({JobState.COMPLETED, JobState.FAILED, JobState.CANCELED})
_MOVING: Final = (TaskState.SCHEDULED, TaskState.PAUSED, TaskState.READY, TaskState.ASSIGNED, TaskState.RUNNING)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a job's submitter decided about failure.

    `fail_share`: the job fails, and its other tasks are canceled, when so large a part of its tasks has failed for good
    (0: with the first one; None: never, it goes on). `late_results`: what becomes of a result whose attempt was given
    up, while the task is not finished. `max_losses`: a task that has cost so many workers is poison. `shortages`: how
    often a task is tried again for want of memory, disk or time. `block_after`: a worker that failed so many tasks of
    one kind gets no more of them (0: it always does). `known`: its tasks may only name kinds and licenses that the farm
    knows.
    """

    fail_share: float | None = None
    late_results: Literal["reject", "accept"] = "reject"
    max_losses: int = 5
    shortages: int = 3
    block_after: int = 3
    known: bool = True


@dataclass(slots=True)
class Job:
    """A job's row. `counts` has an entry for every task state and sums up to `expanded`, the tasks that have rows."""

    id: int
    priority: int
    state: JobState
    total: int
    expanded: int
    first_task: int
    submitter: str = ""
    counts: dict[TaskState, int] = field(default_factory=lambda: dict.fromkeys(TaskState, 0))
    cancel_requested_at: datetime | None = None
    cancel_reason: str | None = None
    finished_at: datetime | None = None
    #: Its attempts have limits of time.
    watched: bool = False
    archived_at: datetime | None = None
    task_limit: int | None = None
    limit_set_at: datetime | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    #: So many of its tasks were added by its tasks; those are not numbered from `first_task` on.
    spawned: int = 0
    policy: Policy = Policy()


def verdict_on(policy: Policy, *, failed: int, total: int) -> str | None:
    """Why a job with so many *failed* of *total* tasks is to fail now; None: it goes on."""
    if policy.fail_share is None or not failed or failed < policy.fail_share * total:
        return None
    if policy.fail_share == 0:
        return "a task has failed, and the job fails fast"
    return f"{failed} of {total} tasks have failed: the job fails at {policy.fail_share:.4g} of them"


def state_of(counts: Mapping[TaskState, int], *, expanded: int, total: int, cancel_requested: bool) -> JobState:
    """The state of a job with these tasks.

    Active as long as anything can still move (a blocked task whose needs are completed waits for their promotion).
    When only blocked tasks are left beside failed or canceled ones, they will never move by themselves: the job has
    ended like what stopped it.
    """
    stuck = counts[TaskState.FAILED] or counts[TaskState.CANCELED]
    moving = expanded < total or any(counts[state] for state in _MOVING) or (counts[TaskState.BLOCKED] and not stuck)
    if cancel_requested:
        return JobState.CANCELING if moving or counts[TaskState.BLOCKED] else _ended(counts)
    return JobState.ACTIVE if moving else _ended(counts)


def _ended(counts: Mapping[TaskState, int]) -> JobState:
    if counts[TaskState.FAILED]:
        return JobState.FAILED
    if counts[TaskState.CANCELED]:
        return JobState.CANCELED
    return JobState.COMPLETED
