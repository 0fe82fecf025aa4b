"""`farmhand jobs`: list, show, wait, cancel, requeue, pause, resume, limit."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from coordinator.cli.arguments import JobArgument, JobsArgument, ReasonOption
from coordinator.cli.command import Session, command, fail, group, ids
from coordinator.cli.output import Column, plural, say, show_json, show_table, span
from coordinator.cli.paging import LimitOption, show_pages
from coordinator.cli.showing import show

if TYPE_CHECKING:
    from schemas.views import Changed

State = Literal["active", "canceling", "completed", "failed", "canceled"]
StateOption = Annotated[State | None, typer.Option("--state", help="Only jobs in this state.")]
SubmitterOption = Annotated[str | None, typer.Option("--submitter", metavar="WHO", help="Only jobs of this one.")]

COLUMNS = [
    Column("JOB", lambda job: job.id, keep=True, right=True),
    Column("STATE", lambda job: job.state.value + (" (paused)" if job.paused else ""), keep=True),
    Column("DONE", lambda job: f"{job.counts.completed}/{job.total}", keep=True, right=True),
    Column("RUNNING", lambda job: job.counts.running + job.counts.assigned or "-", right=True),
    Column("FAILED", lambda job: job.counts.failed or "-", right=True),
    Column("PRIO", lambda job: job.priority, right=True),
    Column("NAME", lambda job: job.name),
    Column("SUBMITTER", lambda job: job.submitter),
    Column("SUBMITTED", lambda job: job.submitted_at),
    Column("TOOK", lambda job: span(job.submitted_at, job.finished_at)),
]
_BLOCKED = [
    Column("WORKER", lambda one: one.worker, keep=True),
    Column("KIND", lambda one: one.kind),
    Column("FAILED", lambda one: one.failures, right=True),
    Column("BLOCKED", lambda one: one.blocked_at),
]


def add(app: typer.Typer) -> typer.Typer:
    """Add the commands to *app*; the group that they are in."""
    jobs = group(app, "jobs", "Jobs: list, show, wait, cancel, requeue, pause, resume, limit, change, archive.")
    command(jobs, invoke_without_command=True)(list_)
    command(jobs, "list")(list_)
    command(jobs, "show")(show)
    command(jobs, "wait")(wait)
    command(jobs, "picture")(picture)
    command(jobs, "cancel")(cancel)
    command(jobs, "requeue")(requeue)
    command(jobs, "pause")(pause)
    command(jobs, "resume")(resume)
    command(jobs, "limit")(limit)
    command(jobs, "blocklist")(blocklist)
    command(jobs, "unblock")(unblock)
    return jobs


def list_(
    session: Session, state: StateOption = None, submitter: SubmitterOption = None, limit: LimitOption = 50
) -> None:
    """List jobs, the newest first.

    Examples:
      farmhand jobs
      farmhand jobs --state failed
      farmhand jobs show 12
      farmhand jobs cancel 12 --reason "wrong camera"
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.jobs(state=state, submitter=submitter, before=cursor, limit=size),
        limit,
        COLUMNS,
        empty="no jobs; submit one: farmhand submit -- echo hello",
    )


def wait(
    session: Session,
    job: JobArgument,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="TIME", help="Give up after 90s, 10m or 2h (exit code 7).")
    ] = None,
) -> None:
    """Wait until a job has ended, and exit with its outcome: 0 completed, 1 failed or canceled.

    Examples:
      farmhand jobs wait 12
      farmhand jobs wait 12 --timeout 10m && deliver
    """
    from coordinator.cli.waiting import seconds, wait_for  # noqa: PLC0415

    raise typer.Exit(wait_for(session, job, seconds(timeout)))


def picture(
    session: Session,
    job: JobArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put it; - is standard output.")],
) -> None:
    """Save the newest picture of a job: the last frame that was rendered and uploaded.

    Examples:
      farmhand jobs picture 12 last.png
      farmhand jobs picture 12 - | feh -
    """
    found = session.farm.picture(job)
    if str(file) == "-":
        sys.stdout.buffer.write(found)
        return
    try:
        file.write_bytes(found)
    except OSError as error:
        fail(f"cannot write {file}: {error.strerror}")
    say(f"{file}: {len(found)} bytes")


def cancel(session: Session, jobs: JobsArgument, reason: ReasonOption = None) -> None:
    """Cancel all tasks of jobs that are not finished.

    Examples:
      farmhand jobs cancel 12
      farmhand jobs cancel 12 13 --reason "wrong camera"
    """
    for job in ids(jobs, "job"):
        changed(session, f"job {job}", session.farm.cancel_job(job, reason=reason), "task", "canceled")


def requeue(
    session: Session,
    jobs: JobsArgument,
    *,
    canceled: Annotated[bool, typer.Option("--canceled", help="The canceled tasks too.")] = False,
    reason: ReasonOption = None,
) -> None:
    """Run the failed tasks of jobs again.

    Examples:
      farmhand jobs requeue 12
      farmhand jobs requeue 12 --canceled
    """
    for job in ids(jobs, "job"):
        done = session.farm.requeue_job(job, canceled=canceled, reason=reason)
        changed(session, f"job {job}", done, "task", "requeued")


def blocklist(session: Session, job: JobArgument) -> None:
    """List the workers that get no more tasks of some kind in a job, because they failed too many.

    Examples:
      farmhand jobs blocklist 12
      farmhand jobs unblock 12 render-07
    """
    found = session.farm.blocklist(job)
    if session.json:
        show_json(found)
        return
    show_table(_BLOCKED, found, empty=f"no worker is blocked in job {job}")


def unblock(
    session: Session,
    job: JobArgument,
    workers: Annotated[
        list[str] | None, typer.Argument(metavar="[WORKER...]", help="None named: all that are blocked.")
    ] = None,
    *,
    kind: Annotated[str | None, typer.Option("--kind", metavar="KIND", help="Only for tasks of this kind.")] = None,
    reason: ReasonOption = None,
) -> None:
    """Let blocked workers have tasks of a job again; what they failed is forgiven.

    Examples:
      farmhand jobs unblock 12
      farmhand jobs unblock 12 render-07 --reason "plugin installed"
    """
    done = session.farm.unblock_workers(job, workers, kind=kind, reason=reason)
    changed(session, f"job {job}", done, "worker", "unblocked")


def pause(session: Session, jobs: JobsArgument, reason: ReasonOption = None) -> None:
    """Give no more tasks of jobs to workers; what runs goes on.

    Examples:
      farmhand jobs pause 12 --reason "wrong camera"
      farmhand jobs resume 12
    """
    for job in ids(jobs, "job"):
        changed(session, f"job {job}", session.farm.pause_job(job, reason=reason), "job", "paused")


def resume(session: Session, jobs: JobsArgument, reason: ReasonOption = None) -> None:
    """Give tasks of paused jobs to workers again.

    Examples:
      farmhand jobs resume 12
    """
    for job in ids(jobs, "job"):
        changed(session, f"job {job}", session.farm.resume_job(job, reason=reason), "job", "resumed")


def limit(
    session: Session,
    job: JobArgument,
    most: Annotated[str, typer.Argument(metavar="N|none", help="So many tasks at once, or none to end the limit.")],
    reason: ReasonOption = None,
) -> None:
    """Let workers hold so many tasks of a job at once; what runs beyond that goes on.

    Examples:
      farmhand jobs limit 12 4 --reason "leave room for others"
      farmhand jobs limit 12 none
    """
    if most != "none" and not (most.isascii() and most.isdecimal() and int(most) > 0):
        fail(f"{most!r} is not a number of tasks, 1 or more; say none to end the limit")
    number = None if most == "none" else int(most)
    changed(
        session,
        f"job {job}",
        session.farm.limit_job(job, number, reason=reason),
        "job",
        "limited" if number else "freed",
    )


def changed(session: Session, what: str, done: "Changed", noun: str, verb: str) -> None:
    """Say what a request changed."""
    if session.json:
        show_json({"what": what, **done.model_dump()})
        return
    more = "; the rest follows" if done.continues else ""
    say(f"{what}: {plural(done.count, noun)} {verb}{more}")
