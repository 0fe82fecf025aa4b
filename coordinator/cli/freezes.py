"""`farmhand freezes`: list, thaw."""

from typing import Annotated

import typer

from coordinator.cli.arguments import ReasonOption
from coordinator.cli.command import Session, command, group
from coordinator.cli.jobs import changed
from coordinator.cli.output import Column, show_json, show_table

ZonesArgument = Annotated[list[str], typer.Argument(metavar="ZONE...", show_default=False)]

COLUMNS = [
    Column("ZONE", lambda freeze: freeze.zone or "(all)", keep=True),
    Column("GUARD", lambda freeze: freeze.guard.value),
    Column("SINCE", lambda freeze: freeze.since),
    Column("SUSPECT", lambda freeze: f"{freeze.suspects}/{freeze.workers}", right=True),
    Column("LOST", lambda freeze: freeze.lost, right=True),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    freezes = group(app, "freezes", "Losses held back, because many workers fell silent together: list, thaw.")
    command(freezes, invoke_without_command=True)(list_)
    command(freezes, "list")(list_)
    command(freezes, "thaw")(thaw)


def list_(session: Session) -> None:
    """List where workers that are not heard are not given up.

    A zone is frozen when more than a fifth of its workers, and three at least, turn suspect within ten seconds: the
    network is ill, not they. It thaws when they are back, by an operator, or after a while a tenth at a time. The whole
    farm is frozen while a coordinator consumes nothing; SUSPECT then counts coordinators.

    Examples:
      farmhand freezes
      farmhand freezes thaw default --reason "the rack has no power"
    """
    found = session.farm.freezes()
    if session.json:
        show_json({"items": [freeze.model_dump(mode="json") for freeze in found]})
        return
    show_table(COLUMNS, found, empty="nothing is frozen")


def thaw(session: Session, zones: ZonesArgument, reason: ReasonOption = None) -> None:
    """Say that the suspects of frozen zones are gone indeed: what they hold runs elsewhere.

    Examples:
      farmhand freezes thaw default --reason "the rack has no power"
    """
    for zone in dict.fromkeys(zones):
        changed(session, f"zone {zone}", session.farm.thaw_zone(zone, reason=reason), "zone", "thawed")
