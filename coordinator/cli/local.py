"""`farmhand up` and `farmhand demo`: a whole farm on this machine."""

import importlib.util
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer

from coordinator.cli.command import fail, help_of
from coordinator.cli.services import GatewaysOption
from coordinator.client.errors import ExitCode

_COORDINATOR: Final = ("alembic", "asyncpg", "fastapi", "prometheus_client", "uvicorn", "uvloop")
_PLACE: Final = re.compile(r"^(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]*):(?P<port>\d{1,5})$")
_HIGHEST_PORT: Final = 65535


def register(app: typer.Typer) -> None:
    """Add both commands to *app*."""
    for name, function in (("up", up), ("demo", demo)):
        app.command(name, help=help_of(function))(function)


def up(
    agents: Annotated[int, typer.Option(min=0, max=100, help="How many agents.")] = 1,
    slots: Annotated[
        int | None, typer.Option(min=1, max=500, help="Tasks an agent runs at once; without it, one for each core.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where everything is kept; without it, the user's data directory."),
    ] = None,
    http: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where the HTTP API listens.")] = "127.0.0.1:8600",
    gateways: GatewaysOption = None,
) -> int:
    """Run a farm on this machine: RabbitMQ, Postgres, a coordinator and agents.

    Data stays where it is; the next start finds it again. Ctrl-C or SIGTERM stops all of it.

    Examples:
      farmhand up
      farmhand up --agents 2 --slots 4 --data-dir /srv/farm
      farmhand up --http 0.0.0.0:8600
      farmhand up --agents 0 --gateways stencila
    """
    host, port = _place(http)
    _need(coordinator=_COORDINATOR)

    from coordinator.client.config import default_directory  # noqa: PLC0415 - when needed
    from coordinator.local import interrupt  # noqa: PLC0415 - needs the extra
    from coordinator.local import up as farm  # noqa: PLC0415
    from coordinator.local.errors import LocalServiceError  # noqa: PLC0415

    options = farm.Options(
        data_dir=(data_dir or default_directory()).expanduser().absolute(),
        agents=agents,
        slots=slots or max((os.cpu_count() or 1) // max(agents, 1), 1),
        http_host=host,
        http_port=port,
        gateways=gateways,
    )
    try:
        return interrupt.run(farm.run(options, partial(print, flush=True)), interrupted=0)
    except LocalServiceError as error:
        fail(str(error), ExitCode.UNREACHABLE)


def demo(
    *,
    frames: Annotated[int, typer.Option(min=1, max=1000, help="How many frames the animation has.")] = 48,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the pictures go.")] = Path("farmhand-demo"),
    no_kill: Annotated[bool, typer.Option("--no-kill", help="Leave all agents alive.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the farm's directory: its logs and its database.")] = False,
    mixed: Annotated[
        bool, typer.Option("--mixed", help="One farm of four protocols instead; no pictures, and nobody is killed.")
    ] = False,
) -> int:
    """Watch a farm render an animation, lose one of its three agents on the way, and finish all the same.

    With --mixed: workers of Flamenco, ClearML and Celery join an agent of ours, and do one job that needs each of them.

    Examples:
      farmhand demo
      farmhand demo --frames 12 --out /tmp/pictures
      farmhand demo --mixed
    """
    if mixed:
        return _mixed(keep=keep)
    _need(coordinator=_COORDINATOR, demo=("numpy", "PIL"))
    from rich.console import Console  # noqa: PLC0415 - help does not need it

    from coordinator.local import interrupt  # noqa: PLC0415 - needs the extra
    from coordinator.local.demo import story  # noqa: PLC0415
    from coordinator.local.errors import LocalServiceError  # noqa: PLC0415

    options = story.Options(frames=frames, kill=not no_kill, keep=keep, out=out)
    try:
        return interrupt.run(story.run(options, Console()))
    except LocalServiceError as error:
        fail(str(error), ExitCode.FAILED)


def _mixed(*, keep: bool) -> int:
    _need(coordinator=_COORDINATOR)
    from rich.console import Console  # noqa: PLC0415 - help does not need it

    from coordinator.local import interrupt  # noqa: PLC0415 - needs the extra
    from coordinator.local.errors import LocalServiceError  # noqa: PLC0415
    from coordinator.local.mixed import story  # noqa: PLC0415

    try:
        return interrupt.run(story.run(story.Options(keep=keep), Console()))
    except LocalServiceError as error:
        fail(str(error), ExitCode.FAILED)


def _place(text: str) -> tuple[str, int]:
    """The host and port in *text*, HOST:PORT."""
    match = _PLACE.match(text)
    if match is None or not 0 < int(match["port"]) <= _HIGHEST_PORT:
        fail(f"--http {text}: that is not HOST:PORT, such as 127.0.0.1:8600")
    return match["host"].strip("[]") or "0.0.0.0", int(match["port"])  # noqa: S104 - as asked for


def _need(**extras: Sequence[str]) -> None:
    """End with what to install when a library of one of *extras* is missing."""
    missing = [
        extra for extra, modules in extras.items() if not all(importlib.util.find_spec(name) for name in modules)
    ]
    if missing:
        fail(f"this command needs what is not installed: pip install 'farmhand[{','.join(missing)}]'")
