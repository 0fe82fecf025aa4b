"""A command that is a process: its output is read line by line, and its whole group ends with it.

Shared by `exec` and `python`. Whatever is not a protocol line goes to the log in one piece, however much it is.
"""

import asyncio
import signal
from pathlib import Path
from typing import Final, Protocol

from worker_agent.leases import Lease
from worker_agent.lines import Failure, Hidden, LineError, LineReader, Output, Progress, Result, Said, Spawn, read_line
from worker_agent.logs import storable
from worker_agent.processes import Process
from worker_agent.runners.base import CommandError, Context, LeaseOverError

#: A line longer than this is handed on in pieces, and is no protocol line.
LINE_BYTES: Final = 256 * 1024
#: What a program's own words are looked for in.
_SHOWN_BYTES: Final = 4096


class ChildContext(Context, Protocol):
    """What a command with a process needs besides."""

    @property
    def grace_s(self) -> float:
        """Seconds between SIGTERM and SIGKILL when it is stopped."""

    def plain(self, value: object) -> str:
        """The variable that *value* means: a text, or a secret by its name."""

    @property
    def scratch(self) -> Path:
        """A directory for what is needed while it runs and never an output: made by whoever uses it, deleted at the
        end of the attempt."""

    @property
    def lease(self) -> Lease | None:
        """What limits an exclusive attempt: for `Process`. Raises `LeaseOverError` when there is none any more."""

    def input_directories(self) -> list[Path]:
        """The directories of the accepted inputs."""

    def spawned(self, pid: int) -> None:
        """The journal must know: a process leads the session *pid*."""

    def reaped(self, pid: int) -> None:
        """It is gone."""


class Reader:
    """Cuts what a process prints into log and protocol lines; *read* understands the program's own words."""

    def __init__(self, context: Context, read: LineReader | None = None) -> None:
        self._context = context
        self._own_words = read
        self.failure = ""
        self._rest = b""

    def feed(self, data: bytes) -> None:
        """Take *data* as it was read."""
        data = self._rest + data
        cut = data.rfind(b"\n") + 1
        if not cut and self._own_words is not None:
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
        if self._own_words is None and not block.startswith(b"::") and b"\n::" not in block:
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
        if said is not None:
            self._take(said)
            return
        heard = list(self._own_words(storable(line[:_SHOWN_BYTES]))) if self._own_words is not None else []
        if not any(isinstance(said, Hidden) for said in heard):
            context.log(line)
        for said in heard:
            self._take(said)

    def _take(self, said: Said) -> None:
        match said:
            case Progress(done, total, activity):
                self._context.progress(done, total, activity)
            case Result(value):
                self._context.result(value)
            case Output(name):
                self._context.output(name)
            case Spawn(spec):
                self._context.spawn(spec)
            case Failure(words):
                self.failure = words
            case Hidden():
                pass


async def attend(process: Process, context: ChildContext, reader: Reader) -> int:
    """Wait until *process* ends; its exit code (negative: the signal). When cancelled, end its group."""
    context.spawned(process.pid)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        await process.end(context.grace_s)
        await process.wait()
        raise
    else:
        if process.overran:
            raise LeaseOverError("it was ended because its lease was over: the coordinator has not renewed it in time")
        return code
    finally:
        await process.finish()
        reader.close()
        context.reaped(process.pid)


def verdict_on(code: int, what: str, why: str = "") -> int:
    """The exit code 0. Raises `CommandError` for any other, in words; *why* is what the program itself said."""
    if code == 0:
        return 0
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        raise CommandError(f"{what} was ended by {name}", exit_code=code)
    raise CommandError(f"{what} ended with exit code {code}{f': {why}' if why else ''}", exit_code=code)
