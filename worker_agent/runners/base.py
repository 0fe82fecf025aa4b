"""What a runner is: a name, and how one command with its parameters is run.

Third-party runners are classes of this shape, named by an entry point in the group `farmhand.runners`; an instance is
made once, without arguments.
"""

import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from schemas.task import Cause

Parameters = Mapping[str, JsonValue]


class CommandError(Exception):
    """The command failed: the message goes into the task's `error`, as it is.

    `cause` is a word of `schemas.task.Cause`, where the runner can tell: it decides how the task is tried again.
    """

    def __init__(self, message: str, *, exit_code: int | None = None, cause: str | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.cause = cause


def cause_of(error: BaseException) -> str | None:
    """What an exception of the system says of the cause: no memory, or no room on the disk."""
    if isinstance(error, MemoryError):
        return Cause.MEMORY
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Cause.DISK
    return None


class LeaseOverError(Exception):
    """The lease of an exclusive attempt was over, and what ran was ended: nobody's fault, no retry is burnt."""


class Context(Protocol):
    """What a command may use of the attempt that it belongs to."""

    @property
    def task(self) -> int:
        """The task's number."""

    @property
    def attempt(self) -> int:
        """Which attempt of the task this is."""

    def directory(self) -> Path:
        """The attempt's own directory, made when first asked for. Raises `CommandError` when it cannot be."""

    def environment(self) -> dict[str, str]:
        """The environment for a process of this task: never the agent's credentials."""

    def log(self, text: str | bytes) -> None:
        """Add to the task's log, as it is: end lines yourself."""

    def progress(self, done: int | None, total: int | None = None, activity: str | None = None) -> None:
        """Steps of this command done, of how many, and what it is doing; None is what has not changed."""

    def result(self, value: JsonValue) -> None:
        """The task's result; the last one counts."""

    def spawn(self, spec: JsonValue) -> None:
        """Add a task to the job; its name is its key. What is no task fails the attempt."""

    def output(self, name: str) -> None:
        """A file in the directory is worth showing before the end."""


@runtime_checkable
class Runner(Protocol):
    """Runs commands of one name. It is cancelled when the attempt is to stop, and ends what it has started then."""

    name: str

    async def run(self, parameters: Parameters, context: Context) -> int | None:
        """Carry the command out; its exit code, where there is one. Raises `CommandError` when it fails."""


def is_supervised(runner: object) -> bool:
    """Whether a runner says that all it does is done by processes that are started with the attempt's lease
    (`supervised = True`): only these may run in exclusive tasks."""
    return getattr(runner, "supervised", False) is True


@runtime_checkable
class InstantRunner(Protocol):
    """Runs commands that take no time: called from the event loop, without a task, a thread or a process."""

    name: str

    def run_now(self, parameters: Parameters, context: Context) -> None:
        """Carry the command out. Raises `CommandError` when it fails."""


def text(parameters: Parameters, name: str, default: str | None = None) -> str:
    """The parameter *name*, which must be a string."""
    value = parameters.get(name, default)
    if not isinstance(value, str):
        raise CommandError(f"parameter {name!r} must be a string")
    return value


def strings(parameters: Parameters, name: str) -> list[str]:
    """The parameter *name*, which must be a list of strings; numbers, as an array's `{{index}}` is one, become text."""
    value = parameters.get(name)
    if not isinstance(value, list) or not all(type(item) in (str, int, float) for item in value):
        raise CommandError(f"parameter {name!r} must be a list of strings")
    return [str(item) for item in value]


def refuse_unknown(parameters: Parameters, *known: str) -> None:
    """A typing error is better found than ignored."""
    for name in parameters:
        if name not in known:
            raise CommandError(f"unknown parameter {name!r}; known are: {', '.join(known)}")
