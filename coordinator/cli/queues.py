"""`farmhand queues`: list, pause, resume, limit."""

from typing import Annotated

import typer

from coordinator.cli.arguments import ReasonOption
from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.jobs import changed
from coordinator.cli.output import Column, say, show_json, show_table
from coordinator.cli.showing import told

QueuesArgument = Annotated[list[str], typer.Argument(metavar="QUEUE...", show_default=False)]
QueueArgument = Annotated[str, typer.Argument(metavar="QUEUE", show_default=False)]

COLUMNS = [
    Column("QUEUE", lambda queue: queue.name, keep=True),
    Column("WAITING", lambda queue: queue.waiting, right=True),
    Column("RUNNING", lambda queue: queue.running, right=True),
    Column("LIMIT", lambda queue: "-" if queue.limit is None else queue.limit, right=True),
    Column("OLDEST", lambda queue: queue.oldest_ready_at),
    Column("WORKERS", lambda queue: f"{queue.serving}/{queue.workers}", right=True),
    Column("PAUSED", lambda queue: told(queue.paused)),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    queues = group(app, "queues", "Queues: list, pause, resume, limit.")
    command(queues, invoke_without_command=True)(list_)
    command(queues, "list")(list_)
    command(queues, "pause")(pause)
    command(queues, "resume")(resume)
    command(queues, "limit")(limit)


def list_(session: Session) -> None:
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
            say(f"nobody serves queue {queue.name}: start an agent with --queue {queue.name}")


def pause(session: Session, queues: QueuesArgument, reason: ReasonOption = None) -> None:
    """Give nothing more from queues to workers; what runs goes on.

    Examples:
      farmhand queues pause gpu --reason "driver update"
      farmhand queues resume gpu
    """
    for queue in dict.fromkeys(queues):
        changed(session, f"queue {queue}", session.farm.pause_queue(queue, reason=reason), "queue", "paused")


def resume(session: Session, queues: QueuesArgument, reason: ReasonOption = None) -> None:
    """Give what waits in paused queues to workers again.

    Examples:
      farmhand queues resume gpu
    """
    for queue in dict.fromkeys(queues):
        changed(session, f"queue {queue}", session.farm.resume_queue(queue, reason=reason), "queue", "resumed")


def limit(
    session: Session,
    queue: QueueArgument,
    most: Annotated[str, typer.Argument(metavar="N|none", help="So many tasks at once, or none to end the limit.")],
    reason: ReasonOption = None,
) -> None:
    """Let workers hold so many tasks of a queue at once; what runs beyond that goes on.

    Examples:
      farmhand queues limit gpu 4 --reason "power"
      farmhand queues limit gpu none
    """
    if most != "none" and not (most.isascii() and most.isdecimal()):
        fail(f"{most!r} is not a number of tasks; say none to end the limit")
    number = None if most == "none" else int(most)
    done = session.farm.set_limit("queue", queue, number, reason=reason)
    changed(session, f"queue {queue}", done, "queue", "freed" if number is None else "limited")
