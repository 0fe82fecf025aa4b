"""`farmhand logs` and `farmhand story`: what a task said, and what happened."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coordinator.cli.command import Session, command, fail, ids
from coordinator.cli.output import Column, clean, clean_lines, show_json
from coordinator.cli.paging import LimitOption, show_pages
from coordinator.cli.tasks import TaskArgument

if TYPE_CHECKING:
    from schemas.views import Entry, Page


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    command(app, "logs")(logs)
    command(app, "story")(story)


def logs(
    session: Session,
    task: TaskArgument,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the attempt has ended.")] = False,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, help="Which attempt; else the newest.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="As the task wrote it, control characters too.")] = False,
) -> None:
    """Show what a task wrote.

    Examples:
      farmhand logs 345
      farmhand logs 345 --follow
      farmhand logs 345 --attempt 1 > first.log
    """
    if follow and session.json:
        fail("--follow and --json do not go together")
    if not follow:
        part = session.farm.log(task, attempt=attempt)
        if session.json:
            show_json(part)
        else:
            _write(part.text, raw=raw)
        return
    for part in session.farm.follow_log(task, attempt=attempt):
        _write(part.text, raw=raw)


def _write(text: str, *, raw: bool) -> None:
    sys.stdout.write(text if raw else clean_lines(text))
    sys.stdout.flush()


def attempt_of(entry: "Entry") -> str:
    """Which task, and which of its attempts."""
    if entry.task is None:
        return "-"
    return str(entry.task) + (f".{entry.attempt}" if entry.attempt else "")


def _detail(detail: dict[str, Any] | None) -> str:
    return clean("  ".join(f"{name}={value}" for name, value in (detail or {}).items() if value is not None))


STORY = [
    Column(
        "WHEN", lambda entry: f"{entry.at.astimezone():%Y-%m-%d %H:%M:%S}.{entry.at.microsecond // 1000:03d}", keep=True
    ),
    Column("EVENT", lambda entry: entry.event, keep=True),
    Column("TASK", attempt_of),
    Column("WORKER", lambda entry: entry.worker),
    Column("BY", lambda entry: entry.actor),
    Column("DETAIL", lambda entry: _detail(entry.detail)),
]


def story(
    session: Session,
    what: Annotated[Literal["task", "worker", "job"], typer.Argument(metavar="task|worker|job", show_default=False)],
    name: Annotated[str, typer.Argument(metavar="ID", show_default=False)],
    limit: LimitOption = 1000,
) -> None:
    """Tell what happened to a task, a worker or a job, from the beginning.

    Examples:
      farmhand story task 345
      farmhand story worker render-07
      farmhand story job 12
    """
    farm = session.farm

    def ask(cursor: int | None, size: int) -> "Page[Entry]":
        if what == "worker":
            return farm.story_of_worker(name, after=cursor or 0, limit=size)
        (number,) = ids([name], what)
        tell = farm.story_of_task if what == "task" else farm.story_of_job
        return tell(number, after=cursor or 0, limit=size)

    show_pages(session, ask, limit, STORY, empty=f"nothing happened to {what} {name} yet")
