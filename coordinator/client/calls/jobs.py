"""The calls about jobs and their tasks."""

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter

from coordinator.client.calls.call import Call, change, get, read_as
from schemas.views import (
    BlockView,
    Changed,
    Entry,
    JobDetail,
    JobView,
    JobWhy,
    LogPart,
    Page,
    Submitted,
    TaskDetail,
    TaskView,
    TaskWhy,
)

if TYPE_CHECKING:
    from schemas.job import JobSpec


def submit(spec: "JobSpec") -> Call[Submitted]:
    """Submit a job."""
    return Call("POST", "jobs", partial(read_as, Submitted), body=spec.model_dump_json(exclude_defaults=True).encode())


def jobs(
    *, state: str | None = None, submitter: str | None = None, before: int | None = None, limit: int = 100
) -> Call[Page[JobView]]:
    """Jobs, the newest first."""
    return get("jobs", Page[JobView], state=state, submitter=submitter, before=before, limit=limit)


def job(job: int) -> Call[JobDetail]:
    """One job, and why its ready tasks wait."""
    return get(f"jobs/{job}", JobDetail)


def cancel_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Cancel all of its tasks that are not finished."""
    return change(f"jobs/{job}/cancel", reason=reason)


def requeue_job(job: int, *, canceled: bool = False, reason: str | None = None) -> Call[Changed]:
    """Start the next run of its failed (and, if asked, canceled) tasks."""
    return change(f"jobs/{job}/requeue", reason=reason, canceled=canceled)


def blocklist(job: int) -> Call[list[BlockView]]:
    """Who gets no more tasks of some kind in the job."""
    adapter = TypeAdapter(list[BlockView])
    return Call("GET", f"jobs/{job}/blocklist", lambda response: adapter.validate_json(response.content))


def unblock_workers(
    job: int, workers: list[str] | None = None, *, kind: str | None = None, reason: str | None = None
) -> Call[Changed]:
    """Let workers (all that are blocked, where none is named) have tasks of the job again."""
    return change(f"jobs/{job}/unblock", workers=workers or [], kind=kind, reason=reason)


def why_job(job: int) -> Call[JobWhy]:
    """Why the unfinished tasks of a job wait, sort by sort."""
    return get(f"jobs/{job}/why", JobWhy)


def change_priority(job: int, priority: int, *, reason: str | None = None) -> Call[Changed]:
    """Give a job another priority; what runs goes on."""
    return change(f"jobs/{job}/priority", method="PUT", priority=priority, reason=reason)


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
    return change(f"jobs/{job}/tags", method="PUT", reason=reason, **given)


def keep_job(job: int, *, keep: bool = True, reason: str | None = None) -> Call[Changed]:
    """Never archive a job, or let it be archived as others are."""
    return change(f"jobs/{job}/keep", method="PUT", keep=keep, reason=reason)


def archive_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Archive a finished job now."""
    return change(f"jobs/{job}/archive", reason=reason)


def pause_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Give no more of its tasks to workers; what runs goes on."""
    return change(f"jobs/{job}/pause", reason=reason)


def resume_job(job: int, *, reason: str | None = None) -> Call[Changed]:
    """Give its tasks to workers again."""
    return change(f"jobs/{job}/resume", reason=reason)


def limit_job(job: int, limit: int | None, *, reason: str | None = None) -> Call[Changed]:
    """Let workers hold so many of its tasks at once; None: as many as there is room for."""
    return change(f"jobs/{job}/limit", method="PUT", limit=limit, reason=reason)


def picture(job: int) -> Call[bytes]:
    """The newest picture of a job that the coordinator has a copy of."""
    return Call("GET", f"jobs/{job}/picture", lambda response: response.content)


def story_of_job(job: int, *, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """What happened to a job as a whole."""
    return get(f"jobs/{job}/story", Page[Entry], after=after, limit=limit)


def tasks(job: int, *, state: str | None = None, after: int = 0, limit: int = 100) -> Call[Page[TaskView]]:
    """The tasks of a job, in their order."""
    return get(f"jobs/{job}/tasks", Page[TaskView], state=state, after=after, limit=limit)


def task(task: int) -> Call[TaskDetail]:
    """One task with its attempts and outputs, and why it waits."""
    return get(f"tasks/{task}", TaskDetail)


def why_task(task: int) -> Call[TaskWhy]:
    """Why a task waits: all reasons with remedies, the funnel of workers, and those that lack least."""
    return get(f"tasks/{task}/why", TaskWhy)


def cancel_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Cancel it, unless it is finished."""
    return change(f"tasks/{task}/cancel", reason=reason)


def requeue_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Start its next run, when it is finished."""
    return change(f"tasks/{task}/requeue", reason=reason)


def pause_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Hold it back, if no worker has it."""
    return change(f"tasks/{task}/pause", reason=reason)


def resume_task(task: int, *, reason: str | None = None) -> Call[Changed]:
    """Hold it back no longer."""
    return change(f"tasks/{task}/resume", reason=reason)


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
    return get(f"tasks/{task}/story", Page[Entry], after=after, limit=limit)
