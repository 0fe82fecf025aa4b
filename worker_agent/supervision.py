"""The agent's end of a supervisor: how a program is wrapped, renewed, and ended for good."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import psutil

from worker_agent import supervisor
from worker_agent.leases import Lease, Times, boottime

PROGRAM: Final = Path(supervisor.__file__)


class Supervision:
    """One supervised process. It hears of each renewal of *lease* until it is to end."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._place = lease.prepare() if lease.prepare is not None else ""
        self._ours, self.theirs = socket.socketpair()
        self._ours.setblocking(False)  # noqa: FBT003
        self._tell(lease.times)
        lease.watch = self._tell

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The arguments that start the supervisor of *argv*."""
        return [sys.executable, "-I", "-S", str(PROGRAM), str(self.theirs.fileno()), self._place, *argv]

    def _tell(self, times: Times) -> None:
        # When the buffer is full the supervisor is stopped: it would be wrong to wait for it.
        with contextlib.suppress(OSError):
            self._ours.send(supervisor.FRAME.pack(times.terminate_at, times.kill_at))

    @property
    def over(self) -> bool:
        """Whether the supervisor has said that the time was over."""
        with contextlib.suppress(OSError):
            return bool(self._ours.recv(1, socket.MSG_PEEK))
        return False

    async def end(self, grace_s: float, exited: asyncio.Event) -> None:
        """Ask for its end and wait until nothing of it is left; when cancelled meanwhile, without any more grace."""
        self._lease.watch = None
        while not exited.is_set():
            now = boottime()
            self._tell(Times(now, min(now + grace_s, self._lease.times.kill_at)))
            try:
                await exited.wait()
            except asyncio.CancelledError:
                grace_s = 0.0

    def close(self) -> None:
        """It has ended."""
        self._lease.watch = None
        self._ours.close()


def is_supervisor(process: psutil.Process) -> bool:
    """Whether *process* is a supervisor, of this agent or of another version of it."""
    with contextlib.suppress(psutil.Error, OSError):
        words = process.cmdline()
        return words[1:3] == ["-I", "-S"] and [Path(word).name for word in words[3:4]] == [PROGRAM.name]
    return False
