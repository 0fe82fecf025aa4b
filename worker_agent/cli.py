"""`farmhand-agent`: flags, settings, signals, exit codes.

Exit codes: 0 stopped as it was asked to; 1 an error of ours; 2 wrong settings or flags; 3 the broker does not admit
this agent; 4 another agent holds this identity; 5 the journal cannot be used; 10 restart asked for: start it again;
128 + N a second signal N stopped it at once.
"""

import asyncio
import contextlib
import gc
import json
import logging
import signal
import sys
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn

import structlog
import typer

from worker_agent import config as settings_of
from worker_agent.agent import Agent
from worker_agent.config import ConfigError, Settings
from worker_agent.journal import Journal, JournalError
from worker_agent.transport import IdentityHeldError, NotAdmittedError

EXIT_CONFIG: Final = 2
EXIT_NOT_ADMITTED: Final = 3
EXIT_IDENTITY: Final = 4
EXIT_JOURNAL: Final = 5

_HELP = """Run tasks of a farm on this machine.

\b
Examples:
  farmhand-agent --amqp-url amqp://farm:secret@broker.example/farm --slots 4
  farmhand-agent --queue urgent --queue default --tag linux --tag gpu
  farmhand-agent --config /etc/farmhand/agent.toml
  farmhand-agent config            what is in force, without secrets

Settings come from flags, then the environment (FARMHAND_AGENT_SLOTS=4), then a TOML file (slots = 4). SIGTERM finishes
what runs and leaves; a second one stops at once; SIGHUP reads the settings again.

Exit codes: 0 stopped as asked; 1 an error of the agent; 2 wrong settings; 3 the broker refuses this agent;
4 another agent holds this identity; 5 the journal cannot be used; 10 restart asked for; 128 + N stopped by signal N.
"""

app = typer.Typer(add_completion=False, no_args_is_help=False, rich_markup_mode=None, help=_HELP)


def _flags(context: typer.Context) -> dict[str, Any]:
    """What was said on the command line, under the settings' names."""
    renamed = {"queue": "queues", "kind": "kinds", "tag": "tags"}
    # A nought was said, and is for the settings to refuse; an empty list was not.
    given = {name: value for name, value in context.params.items() if value or isinstance(value, int | float)}
    return {renamed.get(name, name): value for name, value in given.items() if name != "config"}


@app.command("run", help=_HELP)
@app.command("config", help="Print the settings in force as JSON, without secrets; takes the flags of run.")
def run_or_show(  # noqa: PLR0913, PLR0917 - a command's flags are its parameters
    context: typer.Context,
    config: Annotated[Path | None, typer.Option(help="TOML file with settings.")] = None,
    worker: Annotated[str | None, typer.Option(help="This worker's name; default: from the host's name.")] = None,
    amqp_url: Annotated[str | None, typer.Option(help="The broker: amqp://user:password@host:port/vhost.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="Queue to serve; repeat it, the first one first.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Kind of task to offer; default: the runners' names.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="What this worker says of itself; repeat it.")] = None,
    zone: Annotated[str | None, typer.Option(help="Where it is.")] = None,
    slots: Annotated[int | None, typer.Option(help="Attempts at a time, up to 500.")] = None,
    cpus: Annotated[float | None, typer.Option(help="Cores to offer; default: all.")] = None,
    memory_mb: Annotated[int | None, typer.Option(help="Memory to offer, in MiB; default: all.")] = None,
    gpus: Annotated[int | None, typer.Option(help="GPUs to offer; default: all.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Journal and log spool; one agent each.")] = None,
    output_root: Annotated[Path | None, typer.Option(help="Where attempts write, shared by the farm.")] = None,
    publish_root: Annotated[Path | None, typer.Option(help="Where accepted outputs are promoted to.")] = None,
    coordinator_url: Annotated[str | None, typer.Option(help="Where outputs are sent by HTTP.")] = None,
    drain_s: Annotated[float | None, typer.Option(help="Seconds to finish in after SIGTERM; default 30.")] = None,
    can_restart: Annotated[
        bool | None, typer.Option("--can-restart", help="It is started again after exit code 10.")
    ] = None,
    log_format: Annotated[str | None, typer.Option(help="auto, json or console.")] = None,
    log_level: Annotated[str | None, typer.Option(help="debug, info, warning or error.")] = None,
) -> None:
    """Both commands: they need the same settings."""
    del worker, amqp_url, queue, kind, tag, zone, slots, cpus, memory_mb, gpus, data_dir, output_root, publish_root
    del coordinator_url, drain_s, can_restart, log_format, log_level
    flags = _flags(context)
    try:
        settings = settings_of.load(config, flags)
    except ConfigError as error:
        _fail(str(error), EXIT_CONFIG)
    if context.info_name == "config":
        typer.echo(json.dumps(settings.shown(), indent=2))
        return
    start_logging(settings)
    raise typer.Exit(asyncio.run(_live(settings, config, flags)))


async def _live(settings: Settings, config: Path | None, flags: dict[str, Any]) -> int:
    """One life of an agent, with its signals; its exit code."""
    try:
        journal = Journal(settings.data)
    except JournalError as error:
        return _say(str(error), EXIT_JOURNAL)
    agent = Agent(settings, journal)
    _listen(agent, config, flags)
    # What is loaded stays: looking through it for garbage again and again cost half of the time of a tiny task.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    try:
        return await agent.run()
    except* NotAdmittedError as group:
        return_code = _say(_first(group), EXIT_NOT_ADMITTED)
    except* IdentityHeldError as group:
        return_code = _say(_first(group), EXIT_IDENTITY)
    return return_code


def _listen(agent: Agent, config: Path | None, flags: dict[str, Any]) -> None:
    """SIGTERM and SIGINT leave, the second time at once; SIGHUP reloads."""
    loop = asyncio.get_running_loop()
    heard: list[int] = []

    def leave(number: int) -> None:
        heard.append(number)
        if len(heard) == 1:
            agent.leave(f"{signal.Signals(number).name} received")
        else:
            agent.abort(128 + number)

    def reload() -> None:
        try:
            agent.reload(settings_of.load(config, flags))
        except ConfigError as error:
            structlog.get_logger(__name__).error("settings not reloaded", problem=str(error))

    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave, number)
        if hasattr(signal, "SIGHUP"):
            loop.add_signal_handler(signal.SIGHUP, reload)


class _Standard:
    """Writes lines to standard error; where that is a file on a full disk, they are lost and nothing else is."""

    def __init__(self, *_: object) -> None:
        pass

    def msg(self, line: str) -> None:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    debug = info = warning = error = critical = fatal = exception = log = msg


def start_logging(settings: Settings) -> None:
    """Lines for people on a terminal, JSON elsewhere; both on standard error."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    renderer: Any = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[settings.log_level.upper()]),
        logger_factory=_Standard,
    )
    # Their words about lost connections are said by our supervisors, once.
    for name in ("aiormq", "aio_pika", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _first(group: BaseExceptionGroup[Any]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


def _say(words: str, exit_code: int) -> int:
    typer.echo(f"farmhand-agent: {words}", err=True)
    return exit_code


def _fail(words: str, exit_code: int) -> NoReturn:
    raise typer.Exit(_say(words, exit_code))


def main() -> None:
    """The command; `run` is what it does when nothing else is said."""
    arguments = sys.argv[1:]
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments.insert(0, "run")
    app(args=arguments, prog_name="farmhand-agent")


if __name__ == "__main__":
    main()
