"""How a command is made: options that all have, the session that they describe, and errors that end a command."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, NoReturn, ParamSpec, TypeVar, get_type_hints

import typer

from coordinator.client.errors import ExitCode

if TYPE_CHECKING:
    from pydantic import ValidationError

    from coordinator.client import FarmhandClient

P = ParamSpec("P")
R = TypeVar("R")

JsonOption = Annotated[bool, typer.Option("--json", help="Answer with JSON on standard output.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL", help="The coordinator; else FARMHAND_URL, else this machine's.")
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show where an unexpected error came from.")]


class CommandError(Exception):
    """The command cannot go on: one line (or one per fault) that says what to do, and the exit code."""

    def __init__(self, said: str, code: int = ExitCode.USAGE) -> None:
        super().__init__(said)
        self.said = said
        self.code = code


@dataclass(frozen=True)
class Given:
    """What was given beside the words that typer reads: the words after `--`, and options of the commands above."""

    after_dashes: tuple[str, ...] | None = None
    json: bool = False
    url: str | None = None
    debug: bool = False


class Session:
    """One run of a command: how to answer, and whom to ask."""

    def __init__(self, given: Given) -> None:
        """A session with what was *given*."""
        self.json = given.json
        self.after_dashes = given.after_dashes
        self._url = given.url

    @cached_property
    def farm(self) -> "FarmhandClient":
        """The client, made at the first use."""
        from pydantic import ValidationError  # noqa: PLC0415 - only when a farm is asked

        from coordinator.client import FarmhandClient  # noqa: PLC0415
        from coordinator.client.config import ClientSettings  # noqa: PLC0415

        try:
            settings = ClientSettings()
        except ValidationError as error:
            raise CommandError(faults(error)) from None
        url = self._url or settings.url
        return FarmhandClient(url, token=settings.token(url), actor=settings.actor)

    def close(self) -> None:
        """Close the client, if there is one."""
        if "farm" in self.__dict__:
            self.farm.close()


def command(
    app: typer.Typer,
    name: str | None = None,
    **settings: Any,
) -> Callable[[Callable[Concatenate[Session, P], R]], Callable[Concatenate[Session, P], R]]:
    """Make a function a command of *app*, or (without a *name*) what *app* does before its commands.

    The function gets the session first; the options that all commands have are added to its own.
    """

    def register(function: Callable[Concatenate[Session, P], R]) -> Callable[Concatenate[Session, P], R]:
        wrapper = _with_common_options(function)
        if name is None:
            app.callback(**settings)(wrapper)
        else:
            app.command(name, **settings)(wrapper)
        return function

    return register


def _with_common_options(function: Callable[..., Any]) -> Callable[..., Any]:
    hints = get_type_hints(function, include_extras=True)
    own = [
        parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in list(inspect.signature(function).parameters.values())[1:]
    ]
    common = {"json_": (JsonOption, False), "url": (UrlOption, None), "debug": (DebugOption, False)}
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in common.items()
    ]
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)

    @wraps(function)
    def wrapper(*, context: typer.Context, json_: bool, url: str | None, debug: bool, **values: Any) -> Any:
        above = context.obj if isinstance(context.obj, Given) else Given()
        given = replace(above, json=above.json or json_, url=url or above.url, debug=above.debug or debug)
        context.obj = given
        if context.invoked_subcommand is not None:
            return None
        session = Session(given)
        try:
            return function(session, **values)
        finally:
            session.close()

    wrapper.__doc__ = help_of(function)
    wrapper.__signature__ = inspect.Signature([context, *own, *added])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in [context, *own, *added]}
    return wrapper


def group(app: typer.Typer, name: str, help: str) -> typer.Typer:  # noqa: A002 - typer's word
    """A command of *app* that has commands of its own."""
    made = typer.Typer(
        name=name, help=help, rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False
    )
    app.add_typer(made)
    return made


def fail(said: str, code: int = ExitCode.USAGE) -> NoReturn:
    """End the command."""
    raise CommandError(said, code)


def faults(error: "ValidationError") -> str:
    """Settings that pydantic refused, one line each, by the names of the environment's variables."""
    lines = []
    for fault in error.errors(include_url=False, include_input=False):
        name = "_".join(str(part) for part in fault["loc"]).upper()
        lines.append(f"FARMHAND_{name}: {fault['msg']}")
    return "\n".join(lines)


def ids(words: list[str], noun: str) -> list[int]:
    """The numbers in *words*; `-` stands for those on standard input, one a line."""
    import sys  # noqa: PLC0415 - stdin as it is when asked

    found: list[str] = []
    for word in words:
        found.extend(sys.stdin.read().split() if word == "-" else [word])
    for word in found:
        if not (word.isascii() and word.isdecimal()) or int(word) < 1:
            fail(f"{word!r} is not the number of a {noun}")
    if not found:
        fail(f"no {noun} was given")
    return list(dict.fromkeys(int(word) for word in found))


def help_of(function: Callable[..., Any]) -> str:
    """The docstring of *function* as the help of its command: the lines of its examples stay as they are."""
    return (inspect.getdoc(function) or "").replace("Examples:\n", "\b\nExamples:\n")
