"""`exec`: runs a program from a list of arguments, never through a shell.

The program starts in the attempt's directory (or one below it), with the attempt's environment. Where the operator has
named the executables that are allowed, nothing else is started.
"""

import fnmatch
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import cast

from worker_agent.lines import compile_pattern
from worker_agent.processes import Process
from worker_agent.runners.base import CommandError, Context, Parameters, cause_of, refuse_unknown, strings, text
from worker_agent.runners.child import ChildContext, Reader, attend, verdict_on


class ExecRunner:
    """Parameters: `argv`; optional `cwd`, `env`, `progress` (a regular expression)."""

    name = "exec"

    def __init__(self, allowed: Sequence[str] | None = None, base: Mapping[str, str] | None = None) -> None:
        self.allowed = allowed
        self._base = base or {}

    async def run(self, parameters: Parameters, context: Context) -> int | None:
        """Start the program and wait for its end; its exit code 0."""
        refuse_unknown(parameters, "argv", "cwd", "env", "progress")
        argv = strings(parameters, "argv")
        if not argv or not argv[0] or any("\0" in word for word in argv):
            raise CommandError("parameter 'argv' must name a program, without NUL characters")
        try:
            pattern = compile_pattern(text(parameters, "progress")) if "progress" in parameters else None
        except ValueError as error:
            raise CommandError(str(error)) from None
        environment = context.environment() | variables(parameters)
        cwd = self._cwd(parameters, context)
        program = find_program(argv[0], environment.get("PATH", ""), cwd)
        if self.allowed is not None:
            self._check(argv[0], program, environment)
        if program is None:
            raise CommandError(f"there is no program {argv[0]!r} on this worker's PATH")
        reader = Reader(context, pattern)
        try:
            process = Process([program, *argv[1:]], cwd=cwd, environment=environment, on_output=reader.feed)
        except (OSError, ValueError) as error:
            raise CommandError(f"cannot start {argv[0]!r}: {error}", cause=cause_of(error)) from None
        return verdict_on(await attend(process, cast("ChildContext", context), reader), argv[0])

    def _check(self, name: str, program: str | None, environment: Mapping[str, str]) -> None:
        """Only what the operator has named, found where the operator would find it."""
        patterns = self.allowed or ()
        if not any(fnmatch.fnmatchcase(str(program) if "/" in pattern else name, pattern) for pattern in patterns):
            raise CommandError(
                f"{name!r} is not among the executables that this worker may start; "
                "its operator can add it to 'executables'"
            )
        for variable in environment:
            leads_astray = variable == "PATH" or variable.startswith(("LD_", "DYLD_"))
            if leads_astray and environment[variable] != self._base.get(variable):
                raise CommandError(f"this worker names its executables, so a task may not set {variable}")

    def _cwd(self, parameters: Parameters, context: Context) -> Path:
        directory = context.directory()
        if "cwd" not in parameters:
            return directory
        below = PurePosixPath(text(parameters, "cwd"))
        if below.is_absolute() or ".." in below.parts:
            raise CommandError("parameter 'cwd' must be a path below the attempt's directory")
        target = directory / below
        try:
            target.mkdir(parents=True, exist_ok=True)
            if not target.resolve().is_relative_to(directory.resolve()):
                raise CommandError("parameter 'cwd' leaves the attempt's directory")
        except OSError as error:
            words = f"cannot make the directory {target}: {error.strerror}"
            raise CommandError(words, cause=cause_of(error)) from None
        return target


def find_program(name: str, path: str, cwd: Path) -> str | None:
    """The program that *name* means; a path is taken without its detours, so that what is checked is what is run."""
    return os.path.normpath(cwd / name) if "/" in name else shutil.which(name, path=path)


def variables(parameters: Parameters) -> dict[str, str]:
    """The parameter `env`: names and strings."""
    value = parameters.get("env", {})
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise CommandError("parameter 'env' must map names to strings")
    return {name: str(item) for name, item in value.items()}
