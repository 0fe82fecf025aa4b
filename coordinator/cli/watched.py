"""`farmhand watched`: tasks that workers behind gateways have from elsewhere."""

from typing import Annotated

import typer

from coordinator.cli.command import Session, command
from coordinator.cli.output import Column
from coordinator.cli.paging import LimitOption, show_pages

COLUMNS = [
    Column("WORKER", lambda task: task.worker or "-", keep=True),
    Column("NAME", lambda task: task.name or "-", keep=True),
    Column("STATE", lambda task: task.state, keep=True),
    Column("RECEIVED", lambda task: task.received_at or task.sent_at or task.started_at),
    Column("RUNTIME", lambda task: "-" if task.run_s is None else f"{task.run_s:.2f} s", right=True),
    Column("ARGUMENTS", lambda task: task.args or "-"),
    Column("RESULT", lambda task: task.error or task.result or "-"),
    Column("ID", lambda task: task.foreign_id, keep=True),
]


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "watched")(watched)


def watched(
    session: Session,
    worker: Annotated[str | None, typer.Option("--worker", metavar="WORKER", help="Only this worker's.")] = None,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="Only those of this name.")] = None,
    state: Annotated[
        str | None,
        typer.Option("--state", metavar="STATE", help="sent, received, started, retry, succeeded, failed, …"),
    ] = None,
    limit: LimitOption = 50,
) -> None:
    """List tasks that workers behind gateways have from elsewhere, the newest first: Celery's own, say.

    Examples:
      farmhand watched
      farmhand watched --state failed --name shop.charge
      farmhand watched --worker celery-render-07-1a2b3c --json
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.watched(worker=worker, name=name, state=state, before=cursor, limit=size),
        limit,
        COLUMNS,
        empty="no such task was heard of",
    )
