"""`python`: calls a function by its dotted name, in a process of its own; what it returns is the task's result.

The child starts from one file (`python_child.py`) that imports none of our packages, so the function sees the
interpreter's packages and nothing else. Asynchronous functions that the operator has named in `callables_inside` are
awaited in the agent itself, without a process.
"""

import fnmatch
import importlib
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final, cast

from pydantic import JsonValue

from worker_agent.lines import LineError, read_result
from worker_agent.processes import Process
from worker_agent.runners.base import CommandError, Context, Parameters, cause_of, refuse_unknown, text
from worker_agent.runners.child import ChildContext, Reader, attend, verdict_on

CHILD: Final = Path(__file__).with_name("python_child.py")
#: What a child may send back; larger results belong into files.
ANSWER_BYTES: Final = 64 * 1024


class PythonRunner:
    """Parameters: `callable` ("package.module:function"); optional `args`, `kwargs`."""

    name = "python"
    supervised = True

    def __init__(
        self, *, allowed: Sequence[str] | None = None, inside: Sequence[str] = (), interpreter: Path | None = None
    ) -> None:
        self.allowed = allowed
        self.inside = inside
        self.interpreter = str(interpreter or sys.executable)

    async def run(self, parameters: Parameters, context: Context) -> int | None:
        """Call it and keep what it returns."""
        refuse_unknown(parameters, "callable", "args", "kwargs")
        name = text(parameters, "callable")
        args, kwargs = parameters.get("args", []), parameters.get("kwargs", {})
        if not isinstance(args, list) or not isinstance(kwargs, dict):
            raise CommandError("parameter 'args' must be a list and 'kwargs' a table")
        if name.count(":") != 1:
            raise CommandError(f"{name!r} is not of the form package.module:function")
        if self.allowed is not None and not _matches(name, self.allowed):
            raise CommandError(
                f"{name!r} is not among the callables that this worker may call; its operator can add it to 'callables'"
            )
        if _matches(name, self.inside) and cast("ChildContext", context).lease is None:
            await self._inside(name, args, kwargs, context)
            return None
        return await self._in_child(name, args, kwargs, context)

    async def _inside(self, name: str, args: list[JsonValue], kwargs: dict[str, JsonValue], context: Context) -> None:
        function = _load(name)
        if not inspect.iscoroutinefunction(function):
            raise CommandError(f"{name!r} may run inside the agent only as an async function")
        try:
            value = await cast("Callable[..., Awaitable[Any]]", function)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - whatever it raises is the task's failure
            words = f"{name} raised {type(error).__name__}: {error}"
            raise CommandError(words, exit_code=1, cause=cause_of(error)) from None
        if value is not None:
            context.result(_storable(value))

    async def _in_child(
        self, name: str, args: list[JsonValue], kwargs: dict[str, JsonValue], context: Context
    ) -> int | None:
        call = json.dumps({"callable": name, "args": args, "kwargs": kwargs}).encode()
        reader, child = Reader(context), cast("ChildContext", context)
        with _memory_file(call) as question, _memory_file() as answer:
            try:
                process = Process(
                    [self.interpreter, "-P", "-u", str(CHILD), str(answer.fileno())],
                    cwd=context.directory(),
                    environment=context.environment(),
                    on_output=reader.feed,
                    stdin=question.fileno(),
                    pass_fds=[answer.fileno()],
                    lease=child.lease,
                )
            except (OSError, ValueError) as error:
                raise CommandError(f"cannot start {self.interpreter}: {error}") from None
            code = await attend(process, child, reader)
            answer.seek(0)
            _conclude(name, code, answer.read(ANSWER_BYTES + 1), context)
        return code


def _memory_file(content: bytes = b"") -> IO[bytes]:
    """A file without a name; on Linux it takes no disk."""
    try:
        file: IO[bytes] = os.fdopen(os.memfd_create("farmhand"), "w+b")
    except (AttributeError, OSError):
        file = tempfile.TemporaryFile()  # noqa: SIM115 - the caller's context manager
    file.write(content)
    file.seek(0)
    return file


def _conclude(name: str, code: int, raw: bytes, context: Context) -> None:
    if len(raw) > ANSWER_BYTES:
        raise CommandError(f"{name} returned more than {ANSWER_BYTES} bytes; write large results to files")
    if not raw:
        verdict_on(code, name)
        return
    try:
        answer = read_result(raw)
    except LineError as error:
        raise CommandError(f"{name}: {error}") from None
    if not isinstance(answer, dict):
        raise CommandError(f"{name} gave no answer")
    if "error" in answer:
        cause = answer.get("cause")
        raise CommandError(str(answer["error"]), exit_code=code, cause=cause if isinstance(cause, str) else None)
    verdict_on(code, name)
    if answer.get("result") is not None:
        context.result(answer["result"])


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether one of *patterns* means *name*: `studio.tasks:*` means functions of that module, and nothing inside them,
    such as another module that it imports."""
    module, _, function = name.partition(":")
    for pattern in patterns:
        wanted_module, _, wanted = pattern.partition(":")
        parts, wanted_parts = function.split("."), wanted.split(".")
        alike = fnmatch.fnmatchcase(module, wanted_module) and len(parts) == len(wanted_parts)
        if alike and all(map(fnmatch.fnmatchcase, parts, wanted_parts)):
            return True
    return False


def _load(name: str) -> Any:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise CommandError(f"cannot load {name!r}: {error}") from None
    return found


def _storable(value: object) -> JsonValue:
    try:
        return read_result(json.dumps(value).encode())
    except (TypeError, ValueError) as error:
        raise CommandError(f"the result cannot be sent: {error}") from None
