"""`farmhand coordinator | agent | migrate | config check`: what runs beside the farm's database and broker."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import urlsplit, urlunsplit

import typer

from coordinator.cli.command import Session, command, fail, faults, group
from coordinator.cli.output import Column, say, show_facts, show_json, show_table, write
from coordinator.client.errors import ExitCode

if TYPE_CHECKING:
    from coordinator.config import Settings

_AGENT: Final = "farmhand-agent"

GatewaysOption = Annotated[
    str | None,
    typer.Option(
        "--gateways",
        metavar="NAMES",
        help="Other farms' protocols to speak: all, or NAME or NAME@HOST:PORT, with commas (FARMHAND_GATEWAYS).",
    ),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    command(app, "coordinator")(coordinator)
    app.command(
        "agent",
        help="Run an agent: what farmhand-agent does, with its options.",
        add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(agent)
    command(app, "migrate")(migrate)
    command(group(app, "config", "This machine's settings."), "check")(check)


def settings(**said: object) -> "Settings":
    """The coordinator's settings: those *said*, the others from the environment."""
    from pydantic import ValidationError  # noqa: PLC0415

    from coordinator.config import Settings  # noqa: PLC0415

    try:
        return Settings(**said)  # type: ignore[arg-type]
    except ValidationError as error:
        fail(faults(error))


def coordinator(session: Session, gateways: GatewaysOption = None) -> None:  # noqa: ARG001 - as all commands
    """Run a coordinator: settings come from FARMHAND_... (see farmhand config check).

    Examples:
      farmhand migrate && farmhand coordinator
      farmhand coordinator --gateways stencila,openwork@0.0.0.0:8601
      FARMHAND_HTTP_HOST=0.0.0.0 FARMHAND_API_TOKEN=... farmhand coordinator
    """
    given = settings(**({} if gateways is None else {"gateways": gateways}))
    from coordinator.app import run  # noqa: PLC0415 - needs the extra
    from coordinator.starting import StartError  # noqa: PLC0415

    try:
        run(given)
    except StartError as error:
        fail(str(error), ExitCode.UNREACHABLE)


def agent(context: typer.Context) -> None:
    """Become farmhand-agent."""
    beside = Path(sys.executable).with_name(_AGENT)
    program = str(beside) if beside.exists() else shutil.which(_AGENT)
    if program is None:
        fail(f"{_AGENT} is not installed: pip install farmhand")
    os.execv(program, [_AGENT, *context.args])  # noqa: S606 - that is what was asked for


def migrate(session: Session) -> None:
    """Bring the database to the schema of this release. Safe to run twice, and by several at once.

    Where no admin's token can be used, one is made and printed, this once: unless FARMHAND_API_TOKEN is one already, or
    FARMHAND_AUTH=open.

    Examples:
      FARMHAND_DATABASE_URL=postgresql://farmhand@db/farmhand farmhand migrate
    """
    given = settings()
    url = given.database_url
    import asyncio  # noqa: PLC0415 - slow to import, and help does not need it

    from coordinator.domain.access import Auth  # noqa: PLC0415
    from coordinator.storage.first_tokens import first_admin  # noqa: PLC0415 - needs the extra
    from coordinator.storage.migrate import migrate as run  # noqa: PLC0415

    try:
        before, after = asyncio.run(run(url))
        wanted = given.api_token is None and given.auth is not Auth.OPEN
        made = asyncio.run(first_admin(url, "farmhand migrate")) if wanted else None
    except (OSError, ValueError) as error:
        fail(f"cannot migrate {mask(url)}: {error}", ExitCode.UNREACHABLE)
    except Exception as error:  # noqa: BLE001 - the driver's own, which only storage knows
        fail(f"cannot migrate {mask(url)}: {' '.join(str(error).split())[:300]}", ExitCode.UNREACHABLE)
    if session.json:
        token = {"name": made[0], "role": "admin", "token": made[1]} if made else None
        show_json({"before": before, "after": after, "token": token})
        return
    say(f"the database has schema {after}" + ("" if before == after else f" now, before it had {before or 'none'}"))
    if made:
        say(f"an admin's API token, {made[0]!r}, shown this once; with it, farmhand access makes others:")
        write(made[1])


def check(session: Session) -> None:
    """Print the settings in force (secrets hidden), and try the database and the broker.

    Examples:
      farmhand config check
      farmhand config check --json
    """
    given = settings()
    shown = {name: _shown(name, value) for name, value in given.model_dump().items()}
    import asyncio  # noqa: PLC0415 - slow to import, and help does not need it

    from coordinator.starting import check as try_out  # noqa: PLC0415 - needs the extra

    results = asyncio.run(try_out(given))
    if session.json:
        checks = [{"what": what, "ok": ok, "detail": detail} for what, ok, detail in results]
        show_json({"settings": shown, "checks": checks})
    else:
        show_facts((f"FARMHAND_{name.upper()}", value) for name, value in shown.items())
        write()
        show_table(_CHECKS, results, empty="nothing was tried")
    if not all(ok for _, ok, _ in results):
        raise typer.Exit(ExitCode.UNREACHABLE)


_CHECKS = [
    Column("CHECK", lambda result: result[0], keep=True),
    Column("RESULT", lambda result: "ok" if result[1] else "FAILED", keep=True),
    Column("DETAIL", lambda result: result[2]),
]


def _shown(name: str, value: object) -> object:
    if value is None:
        return "(not set)"
    if name.endswith("_url"):
        return mask(str(value))
    return value if isinstance(value, bool | int | float) else str(value)


def mask(url: str) -> str:
    """*url* without its password."""
    try:
        parts = urlsplit(url)
        if parts.password is None:
            return url
    except ValueError:
        return "(not a URL)"
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}"))
