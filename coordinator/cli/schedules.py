"""`farmhand schedules`: jobs that are submitted again and again, by the clock."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.output import Column, say, show_facts, show_json, show_table, write
from coordinator.cli.paging import LimitOption, show_pages
from coordinator.cli.templates import settings

if TYPE_CHECKING:
    from schemas.views import Changed, ScheduleDetail

NameArgument = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the history.")]

COLUMNS = [
    Column("NAME", lambda schedule: schedule.name, keep=True),
    Column("STATE", lambda schedule: "paused" if schedule.paused_at else "active"),
    Column("NEXT", lambda schedule: None if schedule.paused_at else schedule.next_at),
    Column("CRON", lambda schedule: schedule.cron, keep=True),
    Column("TIMEZONE", lambda schedule: schedule.timezone),
    Column("SUBMITS", lambda schedule: f"template {schedule.template}" if schedule.template else "a job"),
    Column("LAST JOB", lambda schedule: schedule.last_job, right=True),
    Column("ENDED AS", lambda schedule: schedule.last_state),
]
_RUNS = [
    Column("INSTANT", lambda run: f"{run.instant:%Y-%m-%d %H:%M:%SZ}", keep=True),
    Column("OUTCOME", lambda run: run.outcome + (" by hand" if run.by_hand else "")),
    Column("JOB", lambda run: run.job, right=True),
    Column("STATE", lambda run: run.state),
    Column("WHY", lambda run: run.detail),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    schedules = group(app, "schedules", "Recurring jobs: create, list, show, pause, resume, run, remove.")
    command(schedules, invoke_without_command=True)(list_)
    for name, function in (
        ("list", list_), ("create", create), ("show", show), ("pause", pause), ("resume", resume), ("run", run),
        ("remove", remove),
    ):  # fmt: skip
        command(schedules, name)(function)


def list_(session: Session, limit: LimitOption = 50) -> None:
    """List schedules.

    Examples:
      farmhand schedules
      farmhand schedules show nightly
      farmhand schedules pause nightly --reason "holidays"
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.schedules(after=cursor or "", limit=size),
        limit,
        COLUMNS,
        empty='no schedules; one for each night: farmhand schedules create nightly job.yaml --cron "0 2 * * *"',
    )


def create(  # noqa: PLR0913 - an option for each field
    session: Session,
    name: NameArgument,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="The job, YAML or TOML.")] = None,
    *,
    cron: Annotated[str, typer.Option(metavar="CRON", help="Minute, hour, day, month, weekday; or @daily.")],
    timezone: Annotated[str, typer.Option(metavar="ZONE", help="Whose clocks, such as Europe/Paris.")] = "UTC",
    missed: Annotated[
        Literal["skip", "once", "all"], typer.Option(help="What becomes of instants that nobody saw.")
    ] = "once",
    most_missed: Annotated[int, typer.Option(min=1, max=100, help="With all: the newest so many.")] = 10,
    overlap: Annotated[
        Literal["skip", "allow", "replace"], typer.Option(help="While the job before is not finished.")
    ] = "skip",
    template: Annotated[str | None, typer.Option(metavar="NAME", help="Submit this template, not a file.")] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Its version; else always the newest.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A parameter of the template; repeatable.")
    ] = None,
) -> None:
    """Submit a job file or a template again and again.

    Examples:
      farmhand schedules create nightly job.yaml --cron "0 2 * * *" --timezone Europe/Paris
      farmhand schedules create hourly --template scan --set depth=3 --cron @hourly --overlap skip
    """
    fields: dict[str, Any] = {
        "name": name, "cron": cron, "timezone": timezone, "missed": missed, "most_missed": most_missed,
        "overlap": overlap,
    }  # fmt: skip
    if (file is None) == (template is None):
        fail("give either a job file or --template")
    if file is not None:
        from coordinator.cli.jobfile import JobFileError, load  # noqa: PLC0415 - slow to import

        try:
            spec, _ = load(file, {})
        except JobFileError as error:
            fail(str(error))
        fields["job"] = spec
    else:
        fields |= {"template": template, "template_version": version, "parameters": settings(set_)}
    _send(session, name, fields)


def _send(session: Session, name: str, fields: dict[str, Any]) -> None:
    from pydantic import ValidationError  # noqa: PLC0415

    from schemas.base import undecodable  # noqa: PLC0415
    from schemas.template import ScheduleSpec  # noqa: PLC0415

    try:
        spec = ScheduleSpec(**fields)
    except ValidationError as error:
        fail(str(undecodable(error)))
    _done(session, name, session.farm.create_schedule(spec), "created")
    if not session.json:
        upcoming = session.farm.schedule(name)
        say("next: " + ", ".join(_instant(one, upcoming.timezone) for one in upcoming.upcoming))


def show(session: Session, name: NameArgument) -> None:
    """Show a schedule: what it waits for, its next instants, its newest runs.

    Examples:
      farmhand schedules show nightly
    """
    found = session.farm.schedule(name)
    if session.json:
        show_json(found)
        return
    _facts(found)
    show_table(_RUNS, found.runs, empty="it has not run yet")


def _facts(found: "ScheduleDetail") -> None:
    show_facts(
        [
            ("schedule", found.name),
            ("state", "paused" if found.paused_at else "active"),
            ("why", found.why),
            ("cron", f"{found.cron}  on the clocks of {found.timezone}"),
            ("next", "; ".join(_instant(one, found.timezone) for one in found.upcoming)),
            ("missed", found.missed + (f", at most {found.most_missed}" if found.missed == "all" else "")),
            ("overlap", found.overlap),
            ("submits", _submits(found)),
            ("created", found.created_at),
            ("by", found.created_by),
        ]
    )


def _submits(found: "ScheduleDetail") -> str:
    if found.template is None:
        return f"job {(found.job or {}).get('name', '')!r}"
    version = f" version {found.template_version}" if found.template_version else ""
    given = ", ".join(f"{name}={value}" for name, value in found.parameters.items())
    return f"template {found.template}{version}" + (f" with {given}" if given else "")


def _instant(at: datetime, timezone: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # noqa: PLC0415 - only here

    try:
        return f"{at.astimezone(ZoneInfo(timezone)):%a %Y-%m-%d %H:%M %Z}"
    except ZoneInfoNotFoundError:
        return f"{at:%a %Y-%m-%d %H:%M %Z}"


def pause(session: Session, name: NameArgument, reason: ReasonOption = None) -> None:
    """Let the instants of a schedule pass until it is resumed.

    Examples:
      farmhand schedules pause nightly --reason "holidays"
    """
    _done(session, name, session.farm.pause_schedule(name, reason=reason), "paused")


def resume(session: Session, name: NameArgument, reason: ReasonOption = None) -> None:
    """Go on with the next instant of a schedule; those that passed meanwhile were not missed.

    Examples:
      farmhand schedules resume nightly
    """
    _done(session, name, session.farm.resume_schedule(name, reason=reason), "resumed")


def run(session: Session, name: NameArgument, reason: ReasonOption = None) -> None:
    """Submit now what the next instant of a schedule would.

    Examples:
      farmhand schedules run nightly
    """
    done = session.farm.run_schedule(name, reason=reason)
    if session.json:
        show_json(done)
    else:
        write(str(done.job))
        say(f"job {done.job} submitted; watch it: farmhand jobs wait {done.job}")


def remove(session: Session, name: NameArgument, reason: ReasonOption = None) -> None:
    """Forget a schedule; its jobs go on.

    Examples:
      farmhand schedules remove nightly
    """
    _done(session, name, session.farm.remove_schedule(name, reason=reason), "removed")


def _done(session: Session, name: str, done: "Changed", verb: str) -> None:
    if session.json:
        show_json(done)
    else:
        say(f"schedule {name}: {verb}")
