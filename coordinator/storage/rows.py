"""Rows <-> domain values."""

import json
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import Any, Final

from asyncpg import Record

from coordinator.domain.attempt import Attempt, AttemptState, Ending
from coordinator.domain.budget import Hold, Rules, Scope
from coordinator.domain.job import Job, JobState, Policy
from coordinator.domain.matching import Group, TaskClass
from coordinator.domain.task import Task, TaskState
from coordinator.domain.worker import Connection, Duty, Worker

TASK_COLUMNS: Final = (
    "id", "job_id", "group_id", "spec_id", "state", "priority", "run", "attempt", "accepted_attempt", "failures",
    "losses", "shortages", "retries", "failed_on", "unmet", "not_before", "reason",
)  # fmt: skip
ATTEMPT_COLUMNS: Final = (
    "task_id", "attempt", "run", "class_id", "worker_id", "epoch", "state", "assigned_at", "sent_at",
)  # fmt: skip
#: Looked up instead of made: an enum's call takes ten times as long.
_ATTEMPT_STATES: Final = {state.value: state for state in AttemptState}
_ENDINGS: Final = {ending.value: ending for ending in Ending}
_TASK_STATES: Final = {state.value: state for state in TaskState}
_DEFAULT_POLICY: Final = Policy()
_WORKER_FIELDS: Final = itemgetter(*Worker.__slots__)


def task(row: Record) -> Task:
    """A row of tasks, columns in the order of `TASK_COLUMNS`."""
    (number, job, group, spec, state, priority, run, attempt, accepted, failures, losses, shortages, retries,
     failed_on, unmet, not_before, reason) = row  # fmt: skip
    return Task(
        id=number, job_id=job, group_id=group, spec_id=spec, state=_TASK_STATES[state], priority=priority, run=run,
        attempt=attempt, accepted_attempt=accepted, failures=failures, losses=losses, shortages=shortages,
        retries=retries, failed_on=failed_on, unmet=unmet, not_before=not_before, reason=reason,
    )  # fmt: skip


def task_record(one: Task) -> tuple[Any, ...]:
    """What COPY writes for a new task."""
    return (
        one.id, one.job_id, one.group_id, one.spec_id, one.state.value, one.priority, one.run, one.attempt,
        one.accepted_attempt, one.failures, one.losses, one.shortages, one.retries, one.failed_on, one.unmet,
        one.not_before, one.reason,
    )  # fmt: skip


def attempt(row: Record) -> Attempt:
    """A row of attempts, columns in the order of `Attempt`'s fields."""
    one = Attempt(*row)
    one.state = _ATTEMPT_STATES[one.state]
    if one.ending is not None:
        one.ending = _ENDINGS[one.ending]
    return one


def attempt_record(one: Attempt) -> tuple[Any, ...]:
    """What COPY writes for a new attempt."""
    return (
        one.task_id, one.attempt, one.run, one.class_id, one.worker_id, one.epoch, one.state.value, one.assigned_at,
        one.sent_at,
    )  # fmt: skip


def worker(row: Record) -> Worker:
    """A row of workers."""
    one = Worker(*_WORKER_FIELDS(row))
    one.connection, one.duty = Connection(one.connection), Duty(one.duty)
    return one


def worker_values(one: Worker) -> tuple[Any, ...]:
    """The parameters of save.sql's `worker`, but the time."""
    return (
        one.id, one.protocol, one.connection.value, one.duty.value, one.epoch, one.instance, one.boot_id, one.software,
        one.platform, one.kinds, one.queues, one.tags, one.labels, one.zone, one.slots, one.cpus, one.memory_mb,
        one.gpus, one.can_restart, one.requested_state, one.requested_lazy, one.requested_reason, one.requested_by,
        one.requested_instance, one.reason, one.requested_source, one.requested_at, one.requested_deadline_at,
        one.resume, one.arrivals, one.sleep_schedule, one.sleep_next_at, one.idle_action, one.idle_after_s,
        one.idle_noted_at, one.idle_refused_at, one.supervises, one.runners, one.secrets, one.enforces, one.foreign_id,
        one.heartbeat_s, one.lost_after_s,
        one.connection_name, one.suspect_at, one.cut_at,
    )  # fmt: skip


def job(row: Record) -> Job:
    """A row of jobs."""
    return Job(
        id=row["id"],
        priority=row["priority"],
        state=JobState(row["state"]),
        total=row["total"],
        expanded=row["expanded"],
        first_task=row["first_task"],
        submitter=row["submitter"],
        counts={state: row[f"n_{state}"] for state in TaskState},
        cancel_requested_at=row["cancel_requested_at"],
        cancel_reason=row["cancel_reason"],
        finished_at=row["finished_at"],
        archived_at=row["archived_at"],
        task_limit=row["task_limit"],
        limit_set_at=row["limit_set_at"],
        paused_at=row["paused_at"],
        paused_by=row["paused_by"],
        pause_reason=row["pause_reason"],
        spawned=row["spawned"],
        policy=policy(row["policy"]),
        watched=row["watched"],
    )


def policy(stored: Mapping[str, Any] | None) -> Policy:
    """A job's policy; the default one is one value for all."""
    return Policy(**stored) if stored else _DEFAULT_POLICY


def policy_values(one: Policy) -> dict[str, Any] | None:
    """What of a policy is stored: where it differs from the default."""
    return {
        name: value for name in Policy.__slots__ if (value := getattr(one, name)) != getattr(_DEFAULT_POLICY, name)
    } or None


def task_class(row: Record) -> TaskClass:
    """A row of classes."""
    return TaskClass(
        row["id"], row["queue"], row["kind"], frozenset(row["tags"]), frozenset(row["labels"]), row["zone"],
        row["slots"], row["cpus"], row["memory_mb"], row["gpus"], tuple(sorted(row["licenses"].items())),
        exclusive=frozenset(row["exclusive"]), runners=frozenset(row["runners"]), secrets=frozenset(row["secrets"]),
        limits=frozenset(row["limits"]),
    )  # fmt: skip


def group(row: Record) -> Group:
    """A row of groups_with_work."""
    (number, job, class_id, priority, ready, canceling, submitter, limit, paused_at, paused_by, reason, *_) = row
    hold = None if paused_at is None else Hold(Scope.JOB, str(job), paused_by, paused_at, reason)
    return Group(number, job, class_id, priority, ready, canceling, submitter, limit, hold)


def rules(limits: Iterable[Record], queues: Iterable[Record], weights: Iterable[Record], *, fair: bool) -> Rules:
    """What operators have set."""
    return Rules(
        {(Scope(row["scope"]), row["name"]): row["total"] for row in limits},
        {
            row["name"]: Hold(Scope.QUEUE, row["name"], row["paused_by"], row["paused_at"], row["reason"])
            for row in queues
        },
        {row["submitter"]: row["weight"] for row in weights},
        fair,
    )


def as_json(value: Any) -> str | None:
    """*value* as text for an array of jsonb: a list of lists would be taken for an array of two dimensions."""
    return None if value is None else json.dumps(value, separators=(",", ":"))
