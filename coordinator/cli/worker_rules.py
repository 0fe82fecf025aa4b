"""`farmhand workers schedule` and `idle`: what is asked of workers by time, and when they have nothing to do."""

import contextlib
import re
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from coordinator.cli.command import CommandError, Session, command, fail
from coordinator.cli.output import duration, show_json, write
from coordinator.cli.waiting import seconds
from coordinator.cli.worker_states import NowOption, WithinOption, WorkerArgument

if TYPE_CHECKING:
    from schemas.views import IdleView, SleepRange, SleepView

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_RANGE: Final = re.compile(r"(?:(?P<days>[a-z,-]+)\s+)?(?P<start>\d\d:\d\d)\s*-\s*(?P<end>\d\d:\d\d)")


def add(workers: typer.Typer) -> None:
    """Add the commands to the group *workers*."""
    command(workers, "schedule")(schedule)
    command(workers, "idle")(idle)


def schedule(
    session: Session,
    worker: WorkerArgument,
    action: Annotated[Literal["show", "set", "clear"], typer.Argument(metavar="show|set|clear")] = "show",
    ranges: Annotated[list[str] | None, typer.Argument(metavar='["DAYS HH:MM-HH:MM"...]', show_default=False)] = None,
    *,
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Whose clock: Europe/Berlin.")] = "UTC",
    now: NowOption = False,
    within: WithinOption = None,
) -> None:
    """Show, set or clear when a worker sleeps. A range may end on the next day; without days it is for all of them.

    Examples:
      farmhand workers schedule desk-07 set "mon-fri 08:00-19:00" --zone Europe/Berlin
      farmhand workers schedule desk-07 set "22:00-06:00" "sat,sun 00:00-24:00" --within 30m
      farmhand workers schedule desk-07
      farmhand workers schedule desk-07 clear
    """
    if (action == "set") != bool(ranges):
        fail("give the ranges in which it sleeps with set, and only there")
    if action == "set":
        from pydantic import ValidationError  # noqa: PLC0415 - only when one is made

        from schemas.base import undecodable  # noqa: PLC0415
        from schemas.views import SleepSchedule  # noqa: PLC0415

        asleep = [_range(text) for text in ranges or ()]
        try:
            wish = SleepSchedule(zone=zone, asleep=asleep, lazy=not now, within_s=seconds(within))
        except ValidationError as error:
            fail(str(undecodable(error)))
        session.farm.set_sleep_schedule(worker, wish)
    elif action == "clear":
        session.farm.set_sleep_schedule(worker, None)
    found = session.farm.worker(worker).sleep
    if session.json:
        show_json(found)
    else:
        write(f"worker {worker}: {schedule_words(found) or 'no schedule'}")


def _range(text: str) -> "SleepRange":
    """The range in "mon-fri,sun 22:00-06:00"."""
    from pydantic import ValidationError  # noqa: PLC0415

    from schemas.views import SleepRange  # noqa: PLC0415

    match = _RANGE.fullmatch(text.strip().lower())
    if match is not None:
        with contextlib.suppress(ValueError, ValidationError):
            days = _days(match["days"] or "")
            return SleepRange.model_validate({"days": days, "start": match["start"], "end": match["end"]})
    raise CommandError(f'{text!r} is not a range such as "mon-fri 22:00-06:00"')


def _days(text: str) -> list[str]:
    """The days in "mon-fri,sun". Raises ValueError."""
    days: list[str] = []
    for part in (one for one in text.split(",") if one not in ("", "daily")):
        first, _, last = part.partition("-")
        start, end = _DAYS.index(first), _DAYS.index(last or first)
        days += [_DAYS[(start + ahead) % 7] for ahead in range((end - start) % 7 + 1)]
    return list(dict.fromkeys(days))


def schedule_words(found: "SleepView") -> str | None:
    """A schedule in one line; None when there is none."""
    if found.schedule is None:
        return None
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - only when one is shown

    ranges = "; ".join(f"{','.join(one.days) or 'daily'} {one.start}-{one.end}" for one in found.schedule.asleep)
    zone = found.schedule.zone
    following = f", changes {found.next_at.astimezone(ZoneInfo(zone)):%a %d %b %H:%M}" if found.next_at else ""
    return f"asleep {ranges} {zone}{following}"


def idle(
    session: Session,
    worker: Annotated[str | None, typer.Argument(metavar="[WORKER]", show_default=False)] = None,
    notify: Annotated[str | None, typer.Option("--notify", metavar="TIME", help="Tell of it after so long.")] = None,
    stop_: Annotated[str | None, typer.Option("--stop", metavar="TIME", help="Stop it after so long.")] = None,
    *,
    off: Annotated[bool, typer.Option("--off", help="Do nothing about it.")] = False,
    inherit: Annotated[bool, typer.Option("--inherit", help="As the farm's policy says.")] = False,
) -> None:
    """Show or set what is done about a worker that has nothing to do; without a name, about all others.

    Examples:
      farmhand workers idle
      farmhand workers idle --notify 1h
      farmhand workers idle cloud-03 --stop 30m
      farmhand workers idle cloud-03 --inherit
    """
    farm = session.farm
    if sum((notify is not None, stop_ is not None, off, inherit)) > 1:
        fail("give one of --notify, --stop, --off and --inherit")
    if inherit and worker is None:
        fail("--inherit is for one worker: name it")
    if inherit:
        farm.set_idle_policy(worker, None)
    elif off:
        farm.set_idle_policy(worker, "off")
    elif notify is not None or stop_ is not None:
        action = "notify" if notify is not None else "stop"
        farm.set_idle_policy(worker, action, after_s=seconds(notify or stop_) or 0)
    found = farm.idle_default() if worker is None else farm.worker(worker).idle
    if session.json and found is not None:
        show_json(found)
    else:
        write(f"{f'worker {worker}' if worker else 'the farm'}: {idle_words(found)}")


def idle_words(found: "IdleView | None") -> str:
    """A policy in a few words."""
    if found is None or found.action == "off":
        words = "nothing is done about idleness"
    else:
        words = f"{found.action} after {duration(found.after_s)}"
    return words + (" (its own policy)" if found is not None and found.own else "")
