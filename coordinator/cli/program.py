"""The program: all commands on one screen, and how every error ends."""

import os
import sys
import traceback
from functools import cache
from io import TextIOWrapper
from typing import Annotated, Final

import typer
from typer.core import TyperGroup

from coordinator.cli import (
    access,
    capacity,
    changes,
    doctor,
    freezes,
    jobs,
    limits,
    parked,
    queues,
    schedules,
    services,
    stats,
    submit,
    tasks,
    telling,
    templates,
    watched,
    why,
    workers,
)
from coordinator.cli.command import CommandError, Given, help_of
from coordinator.cli.output import say, write
from coordinator.client.errors import ExitCode, FarmhandError

#: Modules that only come with an extra, and which.
_EXTRAS: Final = {
    **dict.fromkeys(
        (
            "alembic",
            "asyncpg",
            "cachetools",
            "cronsim",
            "fastapi",
            "prometheus_client",
            "sqlalchemy",
            "starlette",
            "uvicorn",
            "uvloop",
        ),
        "coordinator",
    ),
    **dict.fromkeys(("numpy", "PIL"), "demo"),
    **dict.fromkeys(("matplotlib", "plotext"), "plot"),
}


#: The order in which help lists the commands: what people do first comes first.
_ORDER: Final = (
    "demo", "up", "submit", "jobs", "tasks", "why", "logs", "story", "workers", "queues", "limits", "capacity", "stats",
    "freezes", "templates", "schedules", "parked", "watched", "access", "doctor", "coordinator", "agent", "migrate",
    "config",
)  # fmt: skip


class _Ordered(TyperGroup):
    def list_commands(self, _ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return sorted(self.commands, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))


@cache
def build() -> TyperGroup:
    """All commands; made once in a process, which takes longer than most of them."""
    app = typer.Typer(
        name="farmhand", cls=_Ordered, rich_markup_mode=None, pretty_exceptions_enable=False, add_completion=True,
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
    )  # fmt: skip
    app.callback(invoke_without_command=True, help=help_of(farmhand))(farmhand)
    changes.add_to(jobs.add(app))
    for module in (
        submit,
        tasks,
        why,
        workers,
        queues,
        limits,
        capacity,
        doctor,
        freezes,
        templates,
        schedules,
        telling,
        parked,
        watched,
        stats,
        access,
        services,
    ):
        module.add(app)
    try:
        from coordinator.cli import local  # noqa: PLC0415 - comes last, and may be missing
    except ModuleNotFoundError as error:
        if error.name not in ("coordinator.cli.local", *_EXTRAS):
            raise
    else:
        local.register(app)
    program = typer.main.get_command(app)
    assert isinstance(program, TyperGroup)  # noqa: S101 - it has commands
    return program


def farmhand(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Print the release and exit.")] = False,
) -> None:
    """Run work on a farm of machines.

    Examples:
      farmhand demo                          watch a farm at work
      farmhand up                            run everything on this machine
      farmhand submit --wait -- echo hello   submit a command and wait for it
      farmhand jobs                          what is going on
      farmhand workers                       who works
    """
    if version:
        from importlib.metadata import version as installed  # noqa: PLC0415

        write(f"farmhand {installed('farmhand')}")
    elif context.invoked_subcommand is None:
        write(context.get_help())


def run(argv: list[str]) -> int:
    """Run one command; its exit code."""
    own, after = _split(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = build()(own, prog_name="farmhand", standalone_mode=False, obj=Given(after_dashes=after))
        sys.stdout.flush()
    except Exception as error:  # noqa: BLE001 - the last line of defence: one line, never a traceback
        if not isinstance(error, CommandError | typer.TyperException | typer.Abort) and _debugging(own):
            traceback.print_exc()
        return ending(error)
    except KeyboardInterrupt:
        say("interrupted")
        return ExitCode.INTERRUPTED
    return code if isinstance(code, int) else 0


def ending(error: Exception) -> int:  # noqa: PLR0911 - one for each kind
    """Say what went wrong, and with what to exit."""
    if isinstance(error, CommandError):
        for line in error.said.splitlines():
            say(f"farmhand: {line}")
        return int(error.code)
    if isinstance(error, typer.TyperException):
        return _misused(error)
    if isinstance(error, typer.Abort):
        return ExitCode.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        # Whoever read has enough; nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        say(f"farmhand: this command needs what is not installed: pip install 'farmhand[{extra}]'")
        return ExitCode.USAGE
    if isinstance(error, FarmhandError):
        say(f"farmhand: {error}")
        return error.exit_code
    said = " ".join(str(error).split())
    say(f"farmhand: unexpected {type(error).__name__}: {said} (--debug shows where)")
    return ExitCode.FAILED


def _debugging(argv: list[str]) -> bool:
    from pydantic import ValidationError  # noqa: PLC0415 - only when something went wrong

    from coordinator.client.config import ClientSettings  # noqa: PLC0415

    try:
        return "--debug" in argv or ClientSettings().debug
    except ValidationError:
        return False


def _misused(error: typer.TyperException) -> int:
    context = getattr(error, "ctx", None)
    said = error.format_message()
    if context is not None and not said:
        write(context.get_help())
        return 2
    say(f"farmhand: {' '.join(said.split())}")
    if context is not None:
        say(f"try: {context.command_path} --help")
    return error.exit_code


def _split(argv: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """The words for typer, and for `submit` those after the first `--`."""
    if argv[:1] == ["submit"] and "--" in argv:
        index = argv.index("--")
        return argv[:index], tuple(argv[index + 1 :])
    return argv, None
