"""`farmhand queues`."""

import typer

from coordinator.cli.command import Session, command
from coordinator.cli.output import Column, say, show_json, show_table

COLUMNS = [
    Column("QUEUE", lambda queue: queue.name, keep=True),
    Column("WAITING", lambda queue: queue.waiting, right=True),
    Column("RUNNING", lambda queue: queue.running, right=True),
    Column("OLDEST", lambda queue: queue.oldest_ready_at),
    Column("WORKERS", lambda queue: f"{queue.serving}/{queue.workers}", right=True),
]


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "queues")(queues)


def queues(session: Session) -> None:
    """List queues: what waits, what runs, who serves them.

    Examples:
      farmhand queues
    """
    found = session.farm.queues()
    if session.json:
        show_json({"items": [queue.model_dump(mode="json") for queue in found]})
        return
    show_table(COLUMNS, found, empty="no queue has a task or a worker; start one with: farmhand agent")
    for queue in found:
        if queue.waiting and not queue.workers:
            say(f"nobody serves queue {queue.name}: start an agent with --queues {queue.name}")
