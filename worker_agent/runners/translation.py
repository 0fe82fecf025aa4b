"""Commands that are programs: a *translation* says how such a command is started and how its words are read.

A translation is a function from the command's parameters, and the place where it will run, to a `Call`. It starts and
changes nothing itself, so it is tested without a process. To add one, write that function:

    def translate(parameters, place):
        return Call(argv=["oiiotool", text(parameters, "picture"), "-o", str(place.directory / "out.png")])

    TRANSLATION = Translation("convert", translate, program="oiiotool", known=("picture",))

and name it in `runners.registry`, or, from another package, by an entry point in the group `farmhand.runners`.
"""

import asyncio
import contextlib
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from worker_agent.lines import LineReader
from worker_agent.runners.base import CommandError, Context, Parameters, cause_of, refuse_unknown
from worker_agent.runners.child import ChildContext
from worker_agent.runners.program import Rules, run_program, variables


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command will run: the attempt and its directory, the directories of its accepted inputs, and a directory
    for `Call.links`."""

    task: int
    attempt: int
    directory: Path
    inputs: Sequence[Path]
    links: Path

    def matching(self, pattern: str) -> list[Path]:
        """The files that *pattern* means, numbers in their names counted: an absolute one looks where it says, any
        other one in the inputs."""
        places = [Path("/")] if pattern.startswith("/") else self.inputs
        try:
            found = [path for one in places for path in one.glob(pattern.lstrip("/")) if path.is_file()]
        except ValueError as error:
            raise CommandError(f"{pattern!r} is not a pattern of files: {error}") from None
        return sorted(found, key=_by_number)

    def file(self, name: str) -> Path:
        """The file *name*, absolute or in the attempt's directory. Raises `CommandError` when there is none."""
        path = self.directory / name
        if not path.is_file():
            raise CommandError(f"there is no file {str(path)!r} on this worker")
        return path


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What a command means: a list of arguments, and what is known of it.

    `read` understands what the program prints; `steps` is how many there will be. `paths` are what the operator's
    `roots` must allow. `links` are files that are linked, before the start, as 000001, 000002, … with their suffix,
    into `Place.links`. `expects` are the beginnings of names of files that the program must have written into the
    attempt's directory: many programs end with exit code 0 whatever has happened.
    """

    argv: Sequence[str]
    read: LineReader | None = None
    steps: int | None = None
    paths: Sequence[Path] = ()
    links: Sequence[Path] = ()
    expects: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Translation:
    """A command of the name `name`, with the parameters `known` (and `env`, as every program).

    `program` is what it starts unless a parameter says otherwise: a worker without it does not offer the command.
    `trusted`: the program is ours, and needs no permission.
    """

    name: str
    translate: Callable[[Parameters, Place], Call]
    program: str
    known: Sequence[str]
    trusted: bool = False


class TranslatedRunner:
    """Runs the commands of one translation."""

    supervised = True

    def __init__(self, translation: Translation, rules: Rules) -> None:
        self.name = translation.name
        self._translation = translation
        self._rules = rules

    @property
    def found(self) -> bool:
        """Whether its program is on this worker."""
        path = self._rules.base.get("PATH", "")
        return shutil.which(self._rules.find(self._translation.program, path, Path("/")) or "") is not None

    async def run(self, parameters: Parameters, context: Context) -> int | None:
        """Start the program and wait for its end; its exit code 0."""
        translation, rules, own = self._translation, self._rules, context.directory()
        refuse_unknown(parameters, *translation.known, "env")
        child = cast("ChildContext", context)
        links = child.scratch / "links"
        place = Place(context.task, context.attempt, own, child.input_directories(), links)
        call = await asyncio.to_thread(translation.translate, parameters, place)
        for path in call.paths:
            rules.check_place(path, own)
        environment = context.environment() | variables(parameters, context)
        program = rules.find(call.argv[0], environment.get("PATH", ""), own)
        if translation.trusted:
            rules.check_environment(environment)
        else:
            rules.check_program(call.argv[0], program, environment)
        if program is None:
            raise CommandError(
                f"there is no program {call.argv[0]!r} on this worker: its operator can say in 'programs' where it is"
            )
        if call.steps is not None:
            context.progress(0, call.steps)
        with _linked(call.links, links):
            argv = [program, *call.argv[1:]]
            code = await run_program(argv, context, cwd=own, environment=environment, read=call.read)
        await asyncio.to_thread(_check_written, call, own)
        return code


def _check_written(call: Call, directory: Path) -> None:
    for name in call.expects:
        parent, beginning = (directory / name).parent, (directory / name).name
        if not parent.is_dir() or not any(one.name.startswith(beginning) for one in parent.iterdir()):
            raise CommandError(f"{call.argv[0]} ended without an error, but has not written {name!r}; see the log")


@contextlib.contextmanager
def _linked(files: Sequence[Path], directory: Path) -> Iterator[None]:
    """Symbolic links to *files*, numbered, in *directory* while the command runs."""
    if not files:
        yield
        return
    shutil.rmtree(directory, ignore_errors=True)
    try:
        directory.mkdir(parents=True)
        for number, file in enumerate(files, 1):
            (directory / f"{number:06}{file.suffix}").symlink_to(file)
        yield
    except OSError as error:
        raise CommandError(f"cannot link files in {directory} ({error.strerror})", cause=cause_of(error)) from None
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _by_number(path: Path) -> tuple[list[tuple[int, str]], str]:
    """frame-2 before frame-10, whatever directory they are in."""
    parts = re.split(r"(\d+)", path.name)
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], str(path)
