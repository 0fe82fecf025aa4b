"""`farmhand access`: who may do what over HTTP."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import typer

from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.output import Column, say, show_json, show_table, write

RoleOption = Annotated[
    Literal["viewer", "submitter", "operator", "admin", "agent"],
    typer.Option(
        "--role",
        help="viewer reads; submitter also submits, cancels, requeues; operator also has workers and limits; "
        "admin also has access; agent sends outputs, nothing else.",
    ),
]
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

COLUMNS = [
    Column("TOKEN", lambda token: token.name, keep=True),
    Column("ROLE", lambda token: token.role.value, keep=True),
    Column("STATE", lambda token: "revoked" if token.revoked_at else "usable" if token.usable else "expired"),
    Column("EXPIRES", lambda token: token.expires_at),
    Column("CREATED", lambda token: token.created_at),
    Column("BY", lambda token: token.created_by),
    Column("BEGINS", lambda token: token.prefix),
]
_REVOKED = [Column("REVOKED", lambda token: token.revoked_at), Column("BY", lambda token: token.revoked_by)]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    access = group(app, "access", "API tokens: create, list, revoke.")
    command(access, invoke_without_command=True)(list_)
    command(access, "list")(list_)
    command(access, "create")(create)
    command(access, "revoke")(revoke)


def list_(session: Session, *, all_: Annotated[bool, typer.Option("--all", help="Revoked ones too.")] = False) -> None:
    """List tokens, never the secrets.

    Examples:
      farmhand access
      farmhand access list --all
    """
    page = session.farm.tokens(revoked=all_)
    if session.json:
        show_json(page)
        return
    columns = [*COLUMNS, *_REVOKED] if all_ else COLUMNS
    show_table(columns, page.items, empty="there is no token; make one with: farmhand access create NAME --role admin")


def create(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", show_default=False)],
    role: RoleOption,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="In 12h, 30d or 8w, or an instant such as 2026-12-31T18:00Z."),
    ] = None,
) -> None:
    """Make a token, and print it: this once.

    It is good for what its role says, and every change made with it is told under its name.

    Examples:
      farmhand access create ana --role admin
      farmhand access create build-server --role submitter --expires 90d
    """
    made = session.farm.create_token(name, role, expires_at=_when(expires) if expires else None)
    if session.json:
        show_json(made)
        return
    say(f"token {made.name} ({made.role.value}), shown this once; use it as FARMHAND_API_TOKEN:")
    write(made.token)


def revoke(
    session: Session, names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)]
) -> None:
    """Let tokens open nothing any more, at once.

    Examples:
      farmhand access revoke build-server
    """
    for name in dict.fromkeys(names):
        done = session.farm.revoke_token(name)
        if session.json:
            show_json({"what": f"token {name}", **done.model_dump()})
        else:
            say(f"token {name}: revoked")


def _when(text: str) -> datetime:
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text, re.ASCII)
    if match:
        return datetime.now(UTC) + timedelta(seconds=int(match[1]) * _UNITS[match[2]])
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"--expires {text}: give a span such as 12h, 30d or 8w, or an instant such as 2026-12-31T18:00Z")
    return at if at.tzinfo else at.astimezone()
