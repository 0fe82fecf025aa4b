"""A command that is a process: its output is read line by line, and its whole group ends with it.

Shared by `exec` and `python`. Whatever is not a protocol line goes to the log in one piece, however much it is.
"""

import asyncio
import re
import signal
from typing import Final, Protocol

from worker_agent.lines import LineError, Output, Progress, Result, read_line, search
from worker_agent.processes import Process
from worker_agent.runners.base import CommandError, Context

#: A line longer than this is handed on in pieces, and is no protocol line.
LINE_BYTES: Final = 256 * 1024


class ChildContext(Context, Protocol):
    """What a command with a process needs besides."""

    @property
    def grace_s(self) -> float:
        """Seconds between SIGTERM and SIGKILL when it is stopped."""

    def spawned(self, pid: int) -> None:
        """The journal must know: a process leads the session *pid*."""

    def reaped(self, pid: int) -> None:
        """It is gone."""


class Reader:
    """Cuts what a process prints into log and protocol lines."""

    def __init__(self, context: Context, pattern: re.Pattern[str] | None = None) -> None:
        self._context = context
        self._pattern = pattern
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take *data* as it was read."""
        data = self._rest + data
        cut = data.rfind(b"\n") + 1
        if not cut and self._pattern is not None:
            cut = data.rfind(b"\r") + 1
        if not cut and len(data) >= LINE_BYTES:
            cut = len(data)
        self._rest = data[cut:]
        if cut:
            self._block(data[:cut])

    def close(self) -> None:
        """The end: the last line may lack its end."""
        rest, self._rest = self._rest, b""
        if rest:
            self._block(rest)

    def _block(self, block: bytes) -> None:
        if self._pattern is None and not block.startswith(b"::") and b"\n::" not in block:
            self._context.log(block)
            return
        for line in block.splitlines(keepends=True):
            self._line(line)

    def _line(self, line: bytes) -> None:
        context = self._context
        try:
            said = read_line(line.rstrip(b"\r\n"))
        except LineError as error:
            context.log(line.rstrip(b"\r\n") + f"  [farmhand] {error}\n".encode())
            return
        match said:
            case Progress(done, total, activity):
                context.progress(done, total, activity)
            case Result(value):
                context.result(value)
            case Output(name):
                context.output(name)
            case None:
                context.log(line)
                if self._pattern is not None and (found := search(self._pattern, line)) and found.done is not None:
                    context.progress(found.done, found.total)


async def attend(process: Process, context: ChildContext, reader: Reader) -> int:
    """Wait until *process* ends; its exit code (negative: the signal). When cancelled, end its group."""
    context.spawned(process.pid)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        await process.end(context.grace_s)
        await process.wait()
        raise
    finally:
        await process.finish()
        reader.close()
        context.reaped(process.pid)


def verdict_on(code: int, what: str) -> int:
    """The exit code 0. Raises `CommandError` for any other, in words."""
    if code == 0:
        return 0
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        raise CommandError(f"{what} was ended by {name}", exit_code=code)
    raise CommandError(f"{what} ended with exit code {code}", exit_code=code)
