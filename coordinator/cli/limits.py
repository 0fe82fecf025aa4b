"""`farmhand limits`: list, set, remove, fair-share, story."""

from typing import Annotated, Final, Literal

import typer

from coordinator.cli.arguments import ReasonOption
from coordinator.cli.command import Session, command, fail, group
from coordinator.cli.jobs import changed
from coordinator.cli.output import Column, say, show_json, show_table
from coordinator.cli.paging import LimitOption, show_pages
from coordinator.cli.telling import STORY

_SCOPES: Final = ("queue", "kind", "submitter", "license", "weight")
SetArgument = Annotated[
    list[str], typer.Argument(metavar="SCOPE:NAME=N...", help="SCOPE is queue, kind, submitter, license or weight.")
]
RemoveArgument = Annotated[list[str], typer.Argument(metavar="SCOPE:NAME...", show_default=False)]

_LIMITS = [
    Column("LIMIT", lambda limit: f"{limit.scope.value}:{limit.name}", keep=True),
    Column("USED", lambda limit: limit.used, right=True),
    Column("TOTAL", lambda limit: limit.total, right=True),
    Column("SET", lambda limit: limit.set_at),
    Column("BY", lambda limit: limit.set_by),
    Column("REASON", lambda limit: limit.reason),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    limits = group(app, "limits", "Limits, licenses and shares: list, set, remove, fair-share, story.")
    command(limits, invoke_without_command=True)(list_)
    command(limits, "list")(list_)
    command(limits, "set")(set_)
    command(limits, "remove")(remove)
    command(limits, "fair-share")(fair_share)
    command(limits, "story")(story)


def list_(session: Session) -> None:
    """List what may run at once, how much of it does, and who has how large a share.

    Examples:
      farmhand limits
      farmhand limits set license:houdini=2
    """
    rules = session.farm.rules()
    if session.json:
        show_json(rules)
        return
    show_table(_LIMITS, rules.limits, empty="no limits; set one: farmhand limits set kind:render=10")
    weights = ", ".join(f"{one.submitter} {one.weight:g}" for one in rules.weights)
    say(f"fair share is {'on' if rules.fair_share else 'off'}" + (f"; weights beside 1: {weights}" if weights else ""))


def set_(session: Session, limits: SetArgument, reason: ReasonOption = None) -> None:
    """Let so many tasks be held at once, let the farm have so many of a license, or weigh a submitter's share.

    Examples:
      farmhand limits set kind:render=10 submitter:ana=20
      farmhand limits set license:houdini=2 --reason "one more bought"
      farmhand limits set weight:ana=2
    """
    for scope, name, value in [_read(word) for word in limits]:
        if scope == "weight":
            done = session.farm.set_weight(name, _weight(value), reason=reason)
        else:
            done = session.farm.set_limit(scope, name, _whole(value), reason=reason)
        changed(session, f"{scope} {name}", done, "limit" if scope != "weight" else "weight", f"set to {value}")


def remove(session: Session, limits: RemoveArgument, reason: ReasonOption = None) -> None:
    """Take limits away. Of a license without a total there is none: what needs it waits.

    Examples:
      farmhand limits remove kind:render
      farmhand limits remove weight:ana
    """
    for word in limits:
        scope, name = _named(word)
        if scope == "weight":
            done = session.farm.set_weight(name, None, reason=reason)
        else:
            done = session.farm.set_limit(scope, name, None, reason=reason)
        changed(session, f"{scope} {name}", done, "limit" if scope != "weight" else "weight", "removed")


def fair_share(
    session: Session,
    on: Annotated[Literal["on", "off"], typer.Argument(metavar="on|off", show_default=False)],
    reason: ReasonOption = None,
) -> None:
    """Let submitters share a queue by their weights, or serve the oldest first.

    Examples:
      farmhand limits fair-share off --reason "deadline of ana"
    """
    done = session.farm.set_fair_share(on=on == "on", reason=reason)
    changed(session, "fair share", done, "setting", f"turned {on}")


def story(session: Session, limit: LimitOption = 1000) -> None:
    """Tell who set what, and who paused which queue, from the beginning.

    Examples:
      farmhand limits story
    """
    show_pages(
        session,
        lambda cursor, size: session.farm.story_of_rules(after=cursor or 0, limit=size),
        limit,
        STORY,
        empty="nobody has set anything yet",
    )


def _named(word: str) -> tuple[str, str]:
    scope, colon, name = word.partition(":")
    if scope not in _SCOPES or not colon or not name:
        fail(f"{word!r} is not SCOPE:NAME, such as kind:render; a SCOPE is {', '.join(_SCOPES)}")
    return scope, name


def _read(word: str) -> tuple[str, str, str]:
    named, equals, value = word.rpartition("=")
    if not equals:
        fail(f"{word!r} is not SCOPE:NAME=N, such as license:houdini=2")
    return *_named(named), value


def _whole(value: str) -> int:
    if not (value.isascii() and value.isdecimal()):
        fail(f"{value!r} is not a number of tasks or licenses, 0 or more")
    return int(value)


def _weight(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        fail(f"{value!r} is not a weight, such as 2 or 0.5")
