"""Every call of the API once: what is sent, and how the answer is read. The two clients share this table.

Ids are checked by the coordinator. `limit` is the size of a page, `before` and `after` its cursor.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, TypeAdapter

from schemas.roles import Role
from schemas.views import (
    ActivityReport,
    BlockView,
    CapacityView,
    Changed,
    CredentialView,
    CredentialWish,
    Diagnosis,
    Entry,
    FarmInfo,
    FreezeView,
    IdleView,
    JobDetail,
    JobView,
    JobWhy,
    LogPart,
    MetricView,
    NewTokenView,
    Page,
    ParkedDetail,
    ParkedView,
    QueueView,
    RulesView,
    ScheduleDetail,
    ScheduleView,
    Series,
    StoredTemplate,
    Submitted,
    TaskDetail,
    TaskView,
    TaskWhy,
    TemplateDetail,
    TemplateView,
    TokenView,
    TokenWish,
    WorkerDetail,
    WorkerView,
)

if TYPE_CHECKING:
    from schemas.job import JobSpec
    from schemas.template import ScheduleSpec, TemplateSpec, TemplateUse
    from schemas.views import SleepSchedule

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Call(Generic[T]):
    """One call, and how its answer is read."""

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    query: Mapping[str, Any] = field(default_factory=dict)
    body: bytes | None = None


def _model(model: type[M], response: httpx.Response) -> M:
    return model.model_validate_json(response.content)


def _get(path: str, model: type[M], **query: object) -> Call[M]:
    return Call("GET", path, partial(_model, model), query)


def _change(path: str, *, method: str = "POST", **body: object) -> Call[Changed]:
    return Call(method, path, partial(_model, Changed), body=json.dumps(body).encode())


def _part(name: str) -> str:
    return quote(str(name), safe="")


# --- jobs --------------------------------------------------------------------------------------------------


def submit(spec: "JobSpec") -> Call[Submitted]:
    """Submit a job."""
    return Call("POST", "jobs", partial(_model, Submitted), body=spec.model_dump_json(exclude_defaults=True).encode())


def jobs(
    *, state: str | None = None, submitter: str | None = None, before: int | None = None, limit: int = 100
) -> Call[Page[JobView]]:
    """Jobs, the newest first."""
    return _get("jobs", Page[JobView], state=state, submitter=submitter, before=before, limit=limit)


def job(job: int) -> Call[JobDetail]:
    """One job, and why its ready tasks wait."""
    return _get(f"jobs/{job}", JobDetail)


def cancel_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Cancel all of its tasks that are not finished."""
    return _change(f"jobs/{job}/cancel", reason=reason)


def requeue_job(job: int, *, canceled: bool = False, reason: str | None = None) -> Call[Changed]:
    """Start the next run of its failed (and, if asked, canceled) tasks."""
    return _change(f"jobs/{job}/requeue", reason=reason, canceled=canceled)


def blocklist(job: int) -> Call[list[BlockView]]:
    """Who gets no more tasks of some kind in the job."""
    adapter = TypeAdapter(list[BlockView])
    return Call("GET", f"jobs/{job}/blocklist", lambda response: adapter.validate_json(response.content))


def unblock_workers(
    job: int, workers: list[str] | None = None, *, kind: str | None = None, reason: str | None = None
) -> Call[Changed]:
    """Let workers (all that are blocked, where none is named) have tasks of the job again."""
    return _change(f"jobs/{job}/unblock", workers=workers or [], kind=kind, reason=reason)


def why_job(job: int) -> Call[JobWhy]:
    """Why the unfinished tasks of a job wait, sort by sort."""
    return _get(f"jobs/{job}/why", JobWhy)


def change_priority(job: int, priority: int, *, reason: str | None = None) -> Call[Changed]:
    """Give a job another priority; what runs goes on."""
    return _change(f"jobs/{job}/priority", method="PUT", priority=priority, reason=reason)


def change_tags(
    job: int,
    *,
    add: list[str] | None = None,
    remove: list[str] | None = None,
    add_labels: list[str] | None = None,
    remove_labels: list[str] | None = None,
    reason: str | None = None,
) -> Call[Changed]:
    """Require other tags and labels of the workers of a job's waiting tasks."""
    lists = {"add": add, "remove": remove, "add_labels": add_labels, "remove_labels": remove_labels}
    given = {name: some for name, some in lists.items() if some}
    return _change(f"jobs/{job}/tags", method="PUT", reason=reason, **given)


def keep_job(job: int, *, keep: bool = True, reason: str | None = None) -> Call[Changed]:
    """Never archive a job, or let it be archived as others are."""
    return _change(f"jobs/{job}/keep", method="PUT", keep=keep, reason=reason)


def archive_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Archive a finished job now."""
    return _change(f"jobs/{job}/archive", reason=reason)


def pause_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Give no more of its tasks to workers; what runs goes on."""
    return _change(f"jobs/{job}/pause", reason=reason)


def resume_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Give its tasks to workers again."""
    return _change(f"jobs/{job}/resume", reason=reason)


def limit_job(job: int, limit: int | None, *, reason: str | None = None) -> Call[Changed]:
    """Let workers hold so many of its tasks at once; None: as many as there is room for."""
    return _change(f"jobs/{job}/limit", method="PUT", limit=limit, reason=reason)


def picture(job: int) -> Call[bytes]:
    """The newest picture of a job that the coordinator has a copy of."""
    return Call("GET", f"jobs/{job}/picture", lambda response: response.content)


def story_of_job(job: int, *, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """What happened to a job as a whole."""
    return _get(f"jobs/{job}/story", Page[Entry], after=after, limit=limit)


# --- tasks -------------------------------------------------------------------------------------------------


def tasks(job: int, *, state: str | None = None, after: int = 0, limit: int = 100) -> Call[Page[TaskView]]:
    """The tasks of a job, in their order."""
    return _get(f"jobs/{job}/tasks", Page[TaskView], state=state, after=after, limit=limit)


def task(task: int) -> Call[TaskDetail]:
    """One task with its attempts and outputs, and why it waits."""
    return _get(f"tasks/{task}", TaskDetail)


def why_task(task: int) -> Call[TaskWhy]:
    """Why a task waits: all reasons with remedies, the funnel of workers, and those that lack least."""
    return _get(f"tasks/{task}/why", TaskWhy)


def cancel_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Cancel it, unless it is finished."""
    return _change(f"tasks/{task}/cancel", reason=reason)


def requeue_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Start its next run, when it is finished."""
    return _change(f"tasks/{task}/requeue", reason=reason)


def pause_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Hold it back, if no worker has it."""
    return _change(f"tasks/{task}/pause", reason=reason)


def resume_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Hold it back no longer."""
    return _change(f"tasks/{task}/resume", reason=reason)


def log(task: int, *, attempt: int | None = None, after: int = -1, settled: bool = False) -> Call[LogPart]:
    """The log of an attempt (the newest by default) after a chunk."""
    query = {"attempt": attempt, "after": after, "settled": settled}
    return Call("GET", f"tasks/{task}/log", _log, query)


def _log(response: httpx.Response) -> LogPart:
    headers = response.headers
    return LogPart(
        text=response.content.decode("utf-8", "replace"),
        attempt=int(headers["X-Farmhand-Attempt"]),
        last=int(headers["X-Farmhand-Last-Chunk"]),
        live=headers["X-Farmhand-Live"] == "true",
    )


def output(task: int, attempt: int, name: str) -> Call[bytes]:
    """The coordinator's copy of an output file."""
    return Call("GET", f"tasks/{task}/attempts/{attempt}/outputs/{quote(name)}", lambda response: response.content)


def story_of_task(task: int, *, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """What happened to a task."""
    return _get(f"tasks/{task}/story", Page[Entry], after=after, limit=limit)


# --- workers and queues ------------------------------------------------------------------------------------


def workers(
    *,
    connection: str | None = None,
    duty: str | None = None,
    queue: str | None = None,
    after: str = "",
    limit: int = 100,
) -> Call[Page[WorkerView]]:
    """Workers, by name."""
    query = {"connection": connection, "duty": duty, "queue": queue, "after": after, "limit": limit}
    return _get("workers", Page[WorkerView], **query)


def worker(worker: str) -> Call[WorkerDetail]:
    """One worker, its machine and what it holds."""
    return _get(f"workers/{_part(worker)}", WorkerDetail)


def request_worker_state(
    worker: str,
    state: str,
    *,
    lazy: bool = True,
    reason: str | None = None,
    within_s: float | None = None,
    only_from: str | None = None,
) -> Call[Changed]:
    """Ask a worker to be awake, asleep, drain, testing, error, quarantined, offline or restart: after what it holds
    (`lazy`; at once after `within_s` seconds), or at once. `only_from`: only if it has this duty or is asked for it."""
    more: dict[str, Any] = {"within_s": within_s, "only_from": only_from}
    said = {name: value for name, value in more.items() if value is not None}
    return _change(f"workers/{_part(worker)}/state", state=state, lazy=lazy, reason=reason, **said)


def remove_worker(worker: str, *, reason: str | None = None) -> Call[Changed]:
    """Forget a worker that is gone."""
    return _change(f"workers/{_part(worker)}", method="DELETE", reason=reason)


def set_sleep_schedule(worker: str, schedule: "SleepSchedule | None") -> Call[Changed]:
    """Let a worker sleep by this schedule from now on, or by none."""
    path = f"workers/{_part(worker)}/sleep"
    if schedule is None:
        return _change(path, method="DELETE")
    return Call("PUT", path, partial(_model, Changed), body=schedule.model_dump_json().encode())


def set_idle_policy(worker: str | None, action: str | None, *, after_s: float = 1800.0) -> Call[Changed]:
    """What is done (off, notify, stop) when a worker, or without a name each that has no policy of its own, is idle for
    so long. Without an *action* the worker has the farm's policy."""
    path = "idle" if worker is None else f"workers/{_part(worker)}/idle"
    if action is None:
        return _change(path, method="DELETE")
    return _change(path, method="PUT", action=action, after_s=after_s)


def idle_default() -> Call[IdleView]:
    """What is done about idle workers that have no policy of their own."""
    return _get("idle", IdleView)


def label_worker(worker: str, labels: list[str]) -> Call[Changed]:
    """Approve exactly these labels."""
    return _change(f"workers/{_part(worker)}/labels", method="PUT", labels=labels)


def story_of_worker(worker: str, *, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """What happened to a worker."""
    return _get(f"workers/{_part(worker)}/story", Page[Entry], after=after, limit=limit)


def queues() -> Call[list[QueueView]]:
    """The queues that somebody waits in, works in or serves."""
    adapter = TypeAdapter(list[QueueView])
    return Call("GET", "queues", lambda response: adapter.validate_json(response.content))


def capacity() -> Call[CapacityView]:
    """How many more workers the waiting tasks could use, and which could be stopped without loss."""
    return _get("capacity", CapacityView)


# --- templates and schedules -------------------------------------------------------------------------------


def create_template(spec: "TemplateSpec") -> Call[StoredTemplate]:
    """Keep a template's next version."""
    return Call("POST", "templates", partial(_model, StoredTemplate), body=_written(spec))


def templates(*, after: str = "", limit: int = 100) -> Call[Page[TemplateView]]:
    """Templates, by name."""
    return _get("templates", Page[TemplateView], after=after, limit=limit)


def template(name: str, *, version: int | None = None) -> Call[TemplateDetail]:
    """One version of a template, the newest by default."""
    return _get(f"templates/{_part(name)}", TemplateDetail, version=version)


def remove_template(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Forget a template with all its versions."""
    return _change(f"templates/{_part(name)}", method="DELETE", reason=reason)


def submit_template(name: str, use: "TemplateUse") -> Call[Submitted]:
    """Submit the job that a template makes of parameters."""
    return Call("POST", f"templates/{_part(name)}/submit", partial(_model, Submitted), body=_written(use))


def create_schedule(spec: "ScheduleSpec") -> Call[Changed]:
    """Begin to submit at the instants of a schedule."""
    return Call("POST", "schedules", partial(_model, Changed), body=_written(spec))


def schedules(*, after: str = "", limit: int = 100) -> Call[Page[ScheduleView]]:
    """Schedules, by name."""
    return _get("schedules", Page[ScheduleView], after=after, limit=limit)


def schedule(name: str) -> Call[ScheduleDetail]:
    """One schedule, its next instants and its newest runs."""
    return _get(f"schedules/{_part(name)}", ScheduleDetail)


def pause_schedule(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Let its instants pass."""
    return _change(f"schedules/{_part(name)}/pause", reason=reason)


def resume_schedule(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Go on with its next instant."""
    return _change(f"schedules/{_part(name)}/resume", reason=reason)


def run_schedule(name: str, *, reason: str | None = None) -> Call[Submitted]:
    """Submit now what its next instant would."""
    body = json.dumps({"reason": reason}).encode()
    return Call("POST", f"schedules/{_part(name)}/run", partial(_model, Submitted), body=body)


def remove_schedule(name: str, *, reason: str | None = None) -> Call[Changed]:
    """Forget it; its jobs go on."""
    return _change(f"schedules/{_part(name)}", method="DELETE", reason=reason)


def _written(model: BaseModel) -> bytes:
    return model.model_dump_json(exclude_defaults=True).encode()


def pause_queue(queue: str, *, reason: str | None = None) -> Call[Changed]:
    """Give nothing more from a queue to workers; what runs goes on."""
    return _change(f"queues/{_part(queue)}/pause", reason=reason)


def resume_queue(queue: str, *, reason: str | None = None) -> Call[Changed]:
    """Give what waits in a queue to workers again."""
    return _change(f"queues/{_part(queue)}/resume", reason=reason)


# --- rules -------------------------------------------------------------------------------------------------


def rules() -> Call[RulesView]:
    """All limits with what is in use, all weights, and whether fair share is on."""
    return _get("limits", RulesView)


def story_of_rules(*, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """Who set what, and paused which queue."""
    return _get("limits/story", Page[Entry], after=after, limit=limit)


def set_limit(scope: str, name: str, total: int | None, *, reason: str | None = None) -> Call[Changed]:
    """Let so many tasks of a queue, kind or submitter be held at once, or let the farm have so many of a license."""
    return _change(f"limits/{_part(scope)}/{_part(name)}", method="PUT", total=total, reason=reason)


def set_weight(submitter: str, weight: float | None, *, reason: str | None = None) -> Call[Changed]:
    """Give a submitter a weight in fair share; None: 1, as everybody has."""
    return _change(f"weights/{_part(submitter)}", method="PUT", weight=weight, reason=reason)


def set_fair_share(*, on: bool, reason: str | None = None) -> Call[Changed]:
    """Turn fair share on or off."""
    return _change("fair-share", method="PUT", on=on, reason=reason)


# --- guards --------------------------------------------------------------------------------------------------


def freezes() -> Call[list[FreezeView]]:
    """Where workers that are not heard are not given up for now."""
    adapter = TypeAdapter(list[FreezeView])
    return Call("GET", "freezes", lambda response: adapter.validate_json(response.content))


def thaw_zone(zone: str, *, reason: str | None = None) -> Call[Changed]:
    """Give up who is suspect in a frozen zone: they are gone indeed."""
    return _change(f"freezes/{_part(zone)}/thaw", reason=reason)


# --- parked messages and the farm --------------------------------------------------------------------------


def parked(
    *, state: str = "parked", reason: str | None = None, before: int | None = None, limit: int = 100
) -> Call[Page[ParkedView]]:
    """Parked messages, the newest first."""
    return _get("parked", Page[ParkedView], state=state, reason=reason, before=before, limit=limit)


def parked_one(parked: int) -> Call[ParkedDetail]:
    """One parked message with its bytes."""
    return _get(f"parked/{parked}", ParkedDetail)


def replay_parked(parked: int) -> Call[Changed]:
    """Put a parked message through the same checks again."""
    return _change(f"parked/{parked}/replay")


def drop_parked(parked: int) -> Call[Changed]:
    """Put a parked message aside for good."""
    return _change(f"parked/{parked}/drop")


# --- statistics --------------------------------------------------------------------------------------------


def metrics() -> Call[list[MetricView]]:
    """What is measured."""
    adapter = TypeAdapter(list[MetricView])
    return Call("GET", "statistics", lambda response: adapter.validate_json(response.content))


def series(
    metric: str, *, workers: Sequence[str] = (), split: str = "farm", aggregations: Sequence[str] = (), **time: Any
) -> Call[Series]:
    """A metric over `time` (since, until, interval: seconds), of the farm or split by worker or variant."""
    query = {"worker": list(workers), "split": split, "aggregation": list(aggregations), **time}
    return _get("statistics/series", Series, metric=metric, **query)


def activity(**time: Any) -> Call[ActivityReport]:
    """How many workers were there, and how many active, over `time` (since, until, interval: seconds)."""
    return _get("statistics/activity", ActivityReport, **time)


# --- access ------------------------------------------------------------------------------------------------


def tokens(*, revoked: bool = False) -> Call[Page[TokenView]]:
    """API tokens by name, without the secrets."""
    return _get("access", Page[TokenView], revoked=revoked)


def create_token(name: str, role: str, *, expires_at: datetime | None = None) -> Call[NewTokenView]:
    """Make a token for viewers, submitters, operators, admins or agents; the answer is the only one that shows it."""
    wish = TokenWish(name=name, role=Role(role), expires_at=expires_at)
    return Call("POST", "access", partial(_model, NewTokenView), body=wish.model_dump_json().encode())


def create_credential(gateway: str, name: str, *, expires_at: datetime | None = None) -> Call[CredentialView]:
    """Make what opens this gateway; the answer is the only one that shows it."""
    wish = CredentialWish(gateway=gateway, name=name, expires_at=expires_at)
    return Call("POST", "access/gateways", partial(_model, CredentialView), body=wish.model_dump_json().encode())


def revoke_token(name: str) -> Call[Changed]:
    """Accept it no longer."""
    return Call("DELETE", f"access/{_part(name)}", partial(_model, Changed))


def info() -> Call[FarmInfo]:
    """The coordinator's release, and the farm in numbers."""
    return _get("info", FarmInfo)


def doctor() -> Call[Diagnosis]:
    """What is wrong with the farm, its database and its broker."""
    return _get("doctor", Diagnosis)
