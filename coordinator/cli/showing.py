"""`farmhand jobs show`: one job, in full."""

from typing import TYPE_CHECKING, Any

from coordinator.cli.arguments import JobArgument
from coordinator.cli.command import Session
from coordinator.cli.output import Column, ago, plural, say, show_facts, show_json, show_table, span

if TYPE_CHECKING:
    from schemas.views import JobDetail, Paused

_PARTS = [
    Column("TASK", lambda part: numbers(part.first_task, part.count), keep=True),
    Column("NAME", lambda part: part.name),
    Column("COUNT", lambda part: part.count, right=True),
    Column("KIND", lambda part: part.kind),
    Column("QUEUE", lambda part: part.queue),
    Column("AFTER", lambda part: part.after),
]


def numbers(first: int, count: int) -> str:
    """The numbers of the tasks of a part."""
    return str(first) if count == 1 else f"{first}-{first + count - 1}"


def show(session: Session, job: JobArgument) -> None:
    """Show one job: its tasks by state, why the ready ones wait, what failed.

    Examples:
      farmhand jobs show 12
      farmhand jobs show 12 --json
    """
    found = session.farm.job(job)
    if session.json:
        show_json(found)
        return
    _facts(found)
    for why in found.waiting:
        say(f"{plural(why.tasks, 'task')} ready: {why.sentence}")
    if found.blocklisted:
        are = "worker is" if found.blocklisted == 1 else "workers are"
        say(f"{found.blocklisted} {are} blocked: farmhand jobs blocklist {job}")
    show_table(_PARTS, found.parts, empty="")
    if found.archived_at is not None:
        for failure in found.failures or ():
            say(f"task {failure['task']} ({failure['name']}) failed on {failure['worker']}: {failure['error']}")
    elif found.counts.failed:
        _tell_failures(session, job)


def _tell_failures(session: Session, job: int) -> None:
    failed = session.farm.tasks(job, state="failed", limit=5).items
    for task in failed:
        where = f" on {task.worker}" if task.worker else ""
        say(f"task {task.id} ({task.name}) failed{where}: {task.error or task.reason or 'no reason given'}")
    if failed:
        say(f"look closer: farmhand logs {failed[0].id}; again: farmhand jobs requeue {job}")


def _facts(job: "JobDetail") -> None:
    counts = [f"{count} {state}" for state, count in job.counts.model_dump().items() if count]
    if job.expanded < job.total:
        counts.append(f"{job.total - job.expanded} still to be made")
    show_facts(
        [
            ("job", f"{job.id}  {job.name}"),
            ("state", job.state.value + (f" ({job.cancel_reason})" if job.cancel_reason else "")),
            ("tasks", f"{job.total}: {', '.join(counts)}"),
            ("paused", told(job.paused)),
            ("limit", f"{job.limit} tasks at once" if job.limit else None),
            ("priority", job.priority),
            ("queue", job.queue),
            ("from", _origin(job.origin)),
            ("kept", "yes: it is never archived" if job.keep else None),
            ("archived", job.archived_at),
            ("by", job.archived_by),
            ("because", job.archive_reason),
            ("submitter", job.submitter),
            ("key", job.key),
            ("on failure", job.on_failure if job.on_failure != "continue" else None),
            ("late results", job.late_results if job.late_results != "reject" else None),
            ("submitted", job.submitted_at),
            ("finished", job.finished_at),
            ("took", span(job.submitted_at, job.finished_at)),
        ]
    )


def _origin(origin: "dict[str, Any] | None") -> str | None:
    if origin is None:
        return None
    template = f"template {origin['template']} version {origin['version']}" if "template" in origin else ""
    schedule = f"schedule {origin['schedule']}, {origin['instant']}" if "schedule" in origin else ""
    return ", ".join(part for part in (template, schedule) if part)


def told(paused: "Paused | None") -> str | None:
    """Who paused it, when and why."""
    if paused is None:
        return None
    return f"{ago(paused.at)} by {paused.by}" + (f": {paused.reason}" if paused.reason else "")
