"""`farmhand doctor`: what is wrong with the farm, and what to do.

It asks a coordinator; where none answers, it looks by itself, with a coordinator's settings.
"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from coordinator.cli.command import Session, command
from coordinator.cli.output import Column, clean, show_json, show_table, write
from coordinator.client.errors import ExitCode, FarmhandError

if TYPE_CHECKING:
    from schemas.views import CheckView, Diagnosis

AllOption = Annotated[bool, typer.Option("--all", "-a", help="Show what is well, too.")]
StrictOption = Annotated[bool, typer.Option("--strict", help="End with 1 for warnings, too.")]
HereOption = Annotated[
    bool, typer.Option("--here", help="Look from this machine, with FARMHAND_DATABASE_URL and FARMHAND_AMQP_URL.")
]

COLUMNS = [
    Column("PART", lambda check: check.part, keep=True),
    Column("CHECK", lambda check: check.name.replace("_", " "), keep=True),
    Column("STATE", lambda check: check.state.upper() if check.state == "wrong" else check.state.value, keep=True),
    Column("SEEN", lambda check: check.said),
]


def add(app: typer.Typer) -> None:
    """Add the command to *app*."""
    command(app, "doctor")(doctor)


def doctor(
    session: Session, *, all_: AllOption = False, strict: StrictOption = False, here: HereOption = False
) -> None:
    """Look at the coordinator, the database, the broker and every invariant of the farm; say what is wrong.

    It changes nothing. Exit code 0: nothing is wrong; 1: something is; 6: the coordinator, the database or the broker
    cannot be asked. Where no coordinator answers, it looks from here, by the settings of a coordinator.

    Examples:
      farmhand doctor
      farmhand doctor --all
      farmhand doctor --json | jq '.checks[] | select(.state == "wrong")'
      farmhand doctor --here    # a coordinator's settings on this machine
    """
    found, checks = _ask(session, here=here)
    if session.json:
        checks_json = [check.model_dump(mode="json") for check in checks]
        show_json({"by": found.by, "version": found.version, "at": found.at.isoformat(), "checks": checks_json})
    else:
        _show(found, checks, everything=all_)
    code = _code(checks, strict=strict)
    if code != ExitCode.DONE:
        raise typer.Exit(code)


def _ask(session: Session, *, here: bool) -> "tuple[Diagnosis, list[CheckView]]":
    """The answer, and all checks: those of the way to the coordinator first."""
    if here:
        found = _look_here()
        return found, list(found.checks)
    try:
        found = session.farm.doctor()
    except FarmhandError as error:
        way = _trouble(error)
        found = _look_here()
        return found, [way, *found.checks]
    return found, [*_way(found), *found.checks]


def _look_here() -> "Diagnosis":
    import asyncio  # noqa: PLC0415 - slow to import, and help does not need it
    from importlib.metadata import version  # noqa: PLC0415

    from coordinator.cli.services import settings  # noqa: PLC0415
    from coordinator.doctor import Doctor, Places  # noqa: PLC0415 - needs the extra

    given = settings()
    secret = given.management_url
    places = Places(given.database_url, given.amqp_url, secret.get_secret_value() if secret else None)
    return asyncio.run(Doctor(places, by="this command", version=version("farmhand")).diagnose())


def _trouble(error: FarmhandError) -> "CheckView":
    from schemas.views import CheckState, CheckView  # noqa: PLC0415 - slow to import, and help does not need it

    remedy = {
        ExitCode.AUTHENTICATION: "set FARMHAND_API_TOKEN to a token of the role operator",
        ExitCode.NOT_FOUND: "it is of an older release, without a doctor: update it",
    }.get(error.exit_code, "what follows was looked at from here")
    return CheckView(
        part="coordinator", name="answers", state=CheckState.WRONG, said=error.detail, remedy=remedy, unreachable=True
    )


def _way(found: "Diagnosis") -> "list[CheckView]":
    from datetime import UTC, datetime  # noqa: PLC0415
    from importlib.metadata import version  # noqa: PLC0415

    from schemas.views import CheckState, CheckView  # noqa: PLC0415

    ours, offset_s = version("farmhand"), (found.at - datetime.now(UTC)).total_seconds()
    same, near = ours == found.version, abs(offset_s) < _OFFSET_S
    return [
        CheckView(part="coordinator", name="answers", state=CheckState.OK, said=f"{found.by} does"),
        CheckView(
            part="coordinator",
            name="release",
            state=CheckState.OK if same else CheckState.WARNING,
            said=f"{found.version}" + ("" if same else f", this command is {ours}"),
            remedy="" if same else "use the same release on both sides",
        ),
        CheckView(
            part="coordinator",
            name="clock",
            state=CheckState.OK if near else CheckState.WARNING,
            said=f"{offset_s:+.1f} s from this machine's",
            remedy="" if near else "set both by NTP",
        ),
    ]


#: The answer itself takes a moment to come.
_OFFSET_S = 5.0


def _show(found: "Diagnosis", checks: "list[CheckView]", *, everything: bool) -> None:
    shown = [check for check in checks if everything or check.state != "ok"]
    if shown:
        show_table(COLUMNS, shown, empty="")
    for check in shown:
        if check.remedy:
            write(f"{check.part}, {clean(check.name.replace('_', ' '))}: {clean(check.remedy)}")
        for row in check.rows:
            write(f"    {clean(_facts(row))}")
    states = [check.state.value for check in checks]
    counted = ", ".join(f"{states.count(word)} {word}" for word in ("ok", "warning", "wrong", "unknown"))
    write(f"looked at {len(checks)} things, by {clean(found.by)}: {counted}")


def _facts(row: dict[str, Any]) -> str:
    return " ".join(f"{name}={value}" for name, value in row.items() if value is not None)


def _code(checks: "list[CheckView]", *, strict: bool) -> ExitCode:
    if any(check.unreachable for check in checks):
        return ExitCode.UNREACHABLE
    bad = ("wrong", "warning") if strict else ("wrong",)
    return ExitCode.FAILED if any(check.state in bad for check in checks) else ExitCode.DONE
