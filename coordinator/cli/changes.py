"""`farmhand jobs priority|tags|keep|archive`: what may change about a job after it was submitted."""

from typing import Annotated

import typer

from coordinator.cli.arguments import JobArgument, JobsArgument, ReasonOption
from coordinator.cli.command import Session, command, fail, ids
from coordinator.cli.jobs import changed
from coordinator.cli.output import say, show_json

Words = list[str] | None


def add_to(jobs: typer.Typer) -> None:
    """Add the commands to the group of jobs."""
    for name, function in (("priority", priority), ("tags", tags), ("keep", keep), ("archive", archive)):
        command(jobs, name)(function)


def priority(
    session: Session,
    job: JobArgument,
    priority: Annotated[int, typer.Argument(metavar="N", min=0, max=100, show_default=False)],
    reason: ReasonOption = None,
) -> None:
    """Give a job another priority; what runs goes on.

    Examples:
      farmhand jobs priority 12 90 --reason "client waits"
    """
    changed(session, f"job {job}", session.farm.change_priority(job, priority, reason=reason), "priority", "changed")


def tags(
    session: Session,
    job: JobArgument,
    *,
    add: Annotated[Words, typer.Option("--add", metavar="TAG", help="Only workers that have it; repeatable.")] = None,
    remove: Annotated[Words, typer.Option("--remove", metavar="TAG", help="No longer required; repeatable.")] = None,
    add_label: Annotated[
        Words, typer.Option("--add-label", metavar="LABEL", help="Only workers approved for it; repeatable.")
    ] = None,
    remove_label: Annotated[
        Words, typer.Option("--remove-label", metavar="LABEL", help="No longer required; repeatable.")
    ] = None,
    reason: ReasonOption = None,
) -> None:
    """Require other tags or labels of the workers of a job's waiting tasks; what runs goes on.

    Examples:
      farmhand jobs tags 12 --add fast --remove slow
      farmhand jobs tags 12 --add-label a100
    """
    lists = {"add": add, "remove": remove, "add_labels": add_label, "remove_labels": remove_label}
    if not any(lists.values()):
        fail("say what changes: --add, --remove, --add-label or --remove-label")
    done = session.farm.change_tags(job, reason=reason, **{name: some or [] for name, some in lists.items()})
    if session.json:
        show_json(done)
    else:
        say(f"job {job}: " + ("requirements changed" if done.count else "nothing has changed"))


def keep(
    session: Session,
    jobs: JobsArgument,
    *,
    off: Annotated[bool, typer.Option("--off", help="Let them be archived as others are.")] = False,
    reason: ReasonOption = None,
) -> None:
    """Never archive these jobs.

    Examples:
      farmhand jobs keep 12 --reason "the film's master"
      farmhand jobs keep 12 --off
    """
    for job in ids(jobs, "job"):
        done = session.farm.keep_job(job, keep=not off, reason=reason)
        changed(session, f"job {job}", done, "job", "let go" if off else "kept")


def archive(session: Session, jobs: JobsArgument, reason: ReasonOption = None) -> None:
    """Archive finished jobs now: a summary stays, their tasks, logs and files go.

    Examples:
      farmhand jobs archive 12
    """
    for job in ids(jobs, "job"):
        changed(session, f"job {job}", session.farm.archive_job(job, reason=reason), "task", "archived")
