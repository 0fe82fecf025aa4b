"""`farmhand access`: who may do what over HTTP."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal

import typer

from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.output import Column, say, show_json, show_table, write

RoleOption = Annotated[
    Literal["viewer", "submitter", "operator", "admin", "agent"] | None,
    typer.Option(
        "--role",
        show_default=False,
        help="viewer reads; submitter also submits, cancels, requeues; operator also has workers and limits; "
        "admin also has access; agent sends outputs, nothing else.",
    ),
]
_UNITS: Final = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

COLUMNS = [
    Column("TOKEN", lambda token: token.name, keep=True),
    Column("ROLE", lambda token: f"gateway {token.gateway}" if token.gateway else token.role.value, keep=True),
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
    name: Annotated[str, typer.Argument(metavar="NAME|GATEWAY", show_default=False)],
    role: RoleOption = None,
    named: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Of the credential, where it is for a gateway.")
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="WHEN", help="In 12h, 30d or 8w, or an instant such as 2026-12-31T18:00Z."),
    ] = None,
) -> None:
    """Make a token, or a gateway's credential, and print it: this once.

    A token is good for what its role says, and every change made with it is told under its name. A credential is
    good for one gateway (farmhand access create GATEWAY --name NAME), in its protocol's own words, and nothing else.

    Examples:
      farmhand access create ana --role admin
      farmhand access create build-server --role submitter --expires 90d
      farmhand access create stencila --name overseer
    """
    if (role is None) == (named is None):
        fail("for an API token give NAME --role ROLE, for a gateway's credential GATEWAY --name NAME")
    if role is None:
        _create_credential(session, name, named or name, expires)
        return
    made = session.farm.create_token(name, role, expires_at=_when(expires) if expires else None)
    if session.json:
        show_json(made)
        return
    say(f"token {made.name} ({made.role.value}), shown this once; use it as FARMHAND_API_TOKEN:")
    write(made.token)


def _create_credential(session: Session, gateway: str, name: str, expires: str | None) -> None:
    made = session.farm.create_credential(gateway, name, expires_at=_when(expires) if expires else None)
    if session.json:
        expires_at = made.expires_at.isoformat() if made.expires_at else None
        show_json({"gateway": made.gateway, "name": made.name, "expires_at": expires_at, **made.shown})
        return
    say(f"credential {made.name} for the gateway {made.gateway}, shown this once:")
    for word, value in made.shown.items():
        write(value if len(made.shown) == 1 else f"{word} {value}")


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
