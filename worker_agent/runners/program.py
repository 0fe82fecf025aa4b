"""How a program of a task is found, checked and run: shared by `exec` and by every command that is translated into it.

A program is started from a list of arguments, never through a shell, in the attempt's directory or in one that the
operator allows. Where the operator has named the executables that are allowed, nothing else is started.
"""

import fnmatch
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from worker_agent.lines import LineReader
from worker_agent.processes import Process
from worker_agent.runners.base import CommandError, Context, Parameters, cause_of
from worker_agent.runners.child import ChildContext, Reader, attend, verdict_on


@dataclass(frozen=True, slots=True)
class Rules:
    """What the operator says of programs and places.

    `allowed` are patterns of programs that may be started, `programs` where this worker has those that go by a plain
    name, `roots` the directories that tasks may name by absolute paths; None is no limit. `base` are the variables that
    every process starts with.
    """

    allowed: Sequence[str] | None = None
    programs: Mapping[str, str] = field(default_factory=dict)
    roots: Sequence[Path] | None = None
    base: Mapping[str, str] = field(default_factory=dict)

    def find(self, name: str, path: str, cwd: Path) -> str | None:
        """The program that *name* means; a path without its detours, so that what is checked is what is run."""
        if "/" in name:
            return os.path.normpath(cwd / name)
        return shutil.which(self.programs.get(name, name), path=path)

    def check_program(self, name: str, program: str | None, environment: Mapping[str, str]) -> None:
        """Only what the operator has named, found where the operator would find it. Raises `CommandError`."""
        if self.allowed is None:
            return
        patterns = self.allowed
        if name not in self.programs and not any(
            fnmatch.fnmatchcase(str(program) if "/" in pattern else name, pattern) for pattern in patterns
        ):
            raise CommandError(
                f"{name!r} is not among the executables that this worker may start; "
                "its operator can add it to 'executables'"
            )
        self.check_environment(environment)

    def check_environment(self, environment: Mapping[str, str]) -> None:
        """No variable that would make another program of an allowed one. Raises `CommandError`."""
        if self.allowed is None:
            return
        for variable in environment:
            leads_astray = variable == "PATH" or variable.startswith(("LD_", "DYLD_"))
            if leads_astray and environment[variable] != self.base.get(variable):
                raise CommandError(f"this worker names its executables, so a task may not set {variable}")

    def check_place(self, path: Path, own: Path) -> None:
        """*path* must be below the attempt's *own* directory or one of the roots, all links followed. Raises
        `CommandError`. A guard against mistakes: a program that is started can do what its user may do."""
        if self.roots is None:
            return
        real = path.resolve()
        if not any(real.is_relative_to(root.resolve()) for root in (own, *self.roots)):
            raise CommandError(
                f"{str(path)!r} is not below a directory that tasks may name on this worker; "
                "its operator can add it to 'roots'"
            )

    def directory(self, name: str | None, own: Path) -> Path:
        """The directory to start in: *own*, one below it, or an absolute one below the roots; made when missing."""
        if name is None:
            return own
        target = own / name
        if not name.startswith("/") and not target.resolve().is_relative_to(own.resolve()):
            raise CommandError("parameter 'cwd' must be an absolute path, or one below the attempt's directory")
        self.check_place(target, own)
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            words = f"cannot make the directory {target}: {error.strerror}"
            raise CommandError(words, cause=cause_of(error)) from None
        return target


async def run_program(
    argv: Sequence[str], context: Context, *, cwd: Path, environment: Mapping[str, str], read: LineReader | None = None
) -> int:
    """Start *argv*, whose first word is the program's path, and wait for its end; its exit code 0."""
    reader, child = Reader(context, read), cast("ChildContext", context)
    try:
        process = Process(argv, cwd=cwd, environment=environment, on_output=reader.feed, lease=child.lease)
    except (OSError, ValueError) as error:
        raise CommandError(f"cannot start {argv[0]!r}: {error}", cause=cause_of(error)) from None
    code = await attend(process, child, reader)
    return verdict_on(code, Path(argv[0]).name, reader.failure)


def variables(parameters: Parameters, context: Context) -> dict[str, str]:
    """The parameter `env`: names, and texts or references to secrets."""
    value = parameters.get("env", {})
    if not isinstance(value, dict):
        raise CommandError("parameter 'env' must map names to texts")
    return {name: cast("ChildContext", context).plain(item) for name, item in value.items()}
