"""`farmhand parked`: messages that were put aside because they could not be read or were not allowed."""

from typing import Annotated, Literal

import typer

from coordinator.cli.command import Session, command, group, ids
from coordinator.cli.jobs import changed
from coordinator.cli.output import Column, clean_lines, show_facts, show_json, size, write
from coordinator.cli.paging import LimitOption, show_pages

State = Literal["parked", "replayed", "dropped"]
StateOption = Annotated[State, typer.Option("--state", help="What became of them.")]
ParkedArgument = Annotated[int, typer.Argument(metavar="ID", min=1, show_default=False)]
ParkedArguments = Annotated[list[str], typer.Argument(metavar="ID...", help="Numbers; - reads them from stdin.")]

COLUMNS = [
    Column("ID", lambda parked: parked.id, keep=True, right=True),
    Column("WHEN", lambda parked: parked.at),
    Column("REASON", lambda parked: parked.reason, keep=True),
    Column("KEY", lambda parked: parked.routing_key, keep=True),
    Column("SIZE", lambda parked: size(parked.size), right=True),
    Column("FIELD", lambda parked: parked.field or "-"),
    Column("DETAIL", lambda parked: parked.detail),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    parked = group(app, "parked", "Messages that were put aside: list, show, replay, drop.")
    command(parked, invoke_without_command=True)(list_)
    command(parked, "list")(list_)
    command(parked, "show")(show)
    command(parked, "replay")(replay)
    command(parked, "drop")(drop)


def list_(
    session: Session,
    state: StateOption = "parked",
    reason: Annotated[str | None, typer.Option("--reason", metavar="WORD", help="Only those with this reason.")] = None,
    limit: LimitOption = 50,
) -> None:
    """List parked messages, the newest first.

    Examples:
      farmhand parked
      farmhand parked show 3
      farmhand parked replay 3
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.parked(state=state, reason=reason, before=cursor, limit=size),
        limit,
        COLUMNS,
        empty="nothing is parked" if state == "parked" else f"nothing was {state}",
    )


def show(session: Session, parked: ParkedArgument) -> None:
    """Show one parked message: why it was put aside, and its text.

    Examples:
      farmhand parked show 3
      farmhand parked show 3 --json | jq -r .body | base64 -d
    """
    found = session.farm.parked_one(parked)
    if session.json:
        show_json(found)
        return
    show_facts(
        [
            ("parked", found.id),
            ("state", found.state.value + (f" by {found.closed_by}" if found.closed_by else "")),
            ("when", found.at),
            ("reason", found.reason),
            ("field", found.field),
            ("detail", found.detail),
            ("queue", found.queue),
            ("key", found.routing_key),
            ("broker user", found.user_id),
            ("message", found.message_id),
            ("headers", found.headers or None),
            ("size", size(found.size)),
        ]
    )
    write()
    write(clean_lines(found.text))


def replay(session: Session, parked: ParkedArguments) -> None:
    """Put parked messages through the same checks again.

    Examples:
      farmhand parked replay 3
      farmhand parked --json | jq .items[].id | farmhand parked replay -
    """
    for one in ids(parked, "parked message"):
        changed(session, f"parked message {one}", session.farm.replay_parked(one), "message", "replayed")


def drop(session: Session, parked: ParkedArguments) -> None:
    """Put parked messages aside for good; they can still be shown.

    Examples:
      farmhand parked drop 3
    """
    for one in ids(parked, "parked message"):
        changed(session, f"parked message {one}", session.farm.drop_parked(one), "message", "dropped")
