"""`farmhand capacity`: what the farm has too little of, and what it could spare."""

from typing import TYPE_CHECKING

import typer

from coordinator.cli.command import Session, command
from coordinator.cli.output import Column, clean, plural, show_json, show_table, write

if TYPE_CHECKING:
    from schemas.views import WantedView


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "capacity")(capacity)


def kind_of(one: "WantedView") -> str:
    """What a worker for these tasks must be."""
    words = [f"kind {one.kind}"]
    words += [f"zone {one.zone}"] if one.zone else []
    words += [f"tag {tag}" for tag in one.tags] + [f"label {label}" for label in one.labels]
    return ", ".join(words)


def task_size(one: "WantedView") -> str:
    """What one task takes."""
    words = [plural(one.slots, "slot")]
    words += [f"{one.cpus:g} cpus"] if one.cpus else []
    words += [f"{one.memory_mb} MiB"] if one.memory_mb else []
    words += [plural(one.gpus, "gpu")] if one.gpus else []
    return ", ".join(words)


COLUMNS = [
    Column("QUEUE", lambda one: one.queue, keep=True),
    Column("WORKERS", lambda one: one.workers, keep=True, right=True),
    Column("EACH RUNS", lambda one: one.per_worker, right=True),
    Column("WAITING", lambda one: one.waiting, right=True),
    Column("STARTING", lambda one: one.starting, right=True),
    Column("CAPABLE", lambda one: one.capable, right=True),
    Column("ASLEEP", lambda one: len(one.asleep), right=True),
    Column("NEEDS", kind_of),
    Column("A TASK TAKES", task_size),
]


def capacity(session: Session) -> None:
    """Tell how many more workers the waiting tasks could use, and which could be stopped without loss.

    For what starts and stops machines by itself: --json has the same, with stable fields.

    Examples:
      farmhand capacity
      farmhand capacity --json | jq '.wanted[] | {queue, kind, tags, workers}'
    """
    found = session.farm.capacity()
    if session.json:
        show_json(found)
        return
    show_table(COLUMNS, found.wanted, empty="nothing waits that another worker could run")
    if found.stoppable:
        names = ", ".join(found.stoppable)
        write(clean(f"{plural(len(found.stoppable), 'worker')} could be stopped without loss: {names}"))
        write("ask first: farmhand workers sleep NAME")
