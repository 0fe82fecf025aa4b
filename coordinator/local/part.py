"""One process of a farm on this machine: it may end, be ended, and be started again under the same name.

Promises: it does not outlive us; what it says goes into a file (the one of its life before is kept beside it); when it
fails, the error quotes its last words.
"""

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from coordinator.local.errors import LocalServiceError
from coordinator.local.processes import Child, Program, end

_QUOTED_LINES: Final = 5
_QUOTED_WIDTH: Final = 400


class PartError(LocalServiceError):
    """A process of the farm does not do what it should: the first line says what, the others quote its log."""


class Part:
    """A named process of ours. `argv` and `env` are those of each life of it."""

    def __init__(self, name: str, argv: Sequence[str], env: Mapping[str, str], directory: Path) -> None:
        """A part that is not started yet and writes its log into *directory*."""
        self.name = name
        self.log = directory / f"{name}.log"
        self._argv = tuple(argv)
        self._env = dict(env)
        self._child: Child | None = None
        self._family: list[psutil.Process] = []
        self.started_at = datetime.now(UTC)

    def start(self, *, keep: bool = False) -> None:
        """Start it. It must not be running. *keep*: the logs of all its lives, not of the last two."""
        if self._child is not None:
            self._child.kill()
        if self.log.exists():
            former = self.log.with_suffix(".log.1")
            if keep and former.exists():
                former.replace(self.log.with_suffix(f".log.{former.stat().st_mtime_ns}"))
            self.log.replace(former)
        self.started_at = datetime.now(UTC)
        # SIGTERM: when we are gone it ends in good order, with all that it started.
        self._child = Child(Program(self.name, self._argv, self._env, self.log, death=signal.SIGTERM))

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self._child is not None and self._child.running

    @property
    def pid(self) -> int | None:
        """Its process id, while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    @property
    def exit_code(self) -> int | None:
        """How it ended last (less than zero: by that signal); None while it runs, and before it was started."""
        return self._child.exit_code if self._child is not None else None

    def signal(self, how: signal.Signals) -> None:
        """Send it a signal, if it runs: SIGTERM asks it to end, SIGSTOP and SIGCONT hold it and let it go."""
        if self._child is not None and self._child.running:
            self._remember_family()
            os.kill(self._child.pid, how)

    async def ended(self) -> None:
        """Return when it has ended."""
        if (pid := self.pid) is None:
            return
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        with contextlib.suppress(ProcessLookupError):
            sign = os.pidfd_open(pid)
            loop.add_reader(sign, over.cancel)
            try:
                await asyncio.wait([over])
            finally:
                loop.remove_reader(sign)
                os.close(sign)

    async def stop(self, *, timeout_s: float = 30) -> None:
        """Ask it to end, and insist after *timeout_s*; what it left running ends too."""
        self.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.ended()
        await asyncio.to_thread(self.kill)

    def kill(self, *, with_tasks: bool = True) -> None:
        """SIGKILL, as a power cut would; `with_tasks=False` leaves the processes that it started running."""
        if self._child is None:
            return
        self._remember_family()
        if self._child.running:
            os.kill(self._child.pid, signal.SIGKILL)
            os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOWAIT)
        if with_tasks:
            end(self._family)
            self._family = []
        self._child.kill()

    def failure(self, what: str) -> PartError:
        """The error that says *what* is wrong with it."""
        words = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        last = [f"    {line[:_QUOTED_WIDTH]}" for line in words if line.strip()][-_QUOTED_LINES:] or [
            "    (it said nothing)"
        ]
        return PartError("\n".join([f"{self.name} {what}; the end of its log:", *last]))

    def _remember_family(self) -> None:
        """Processes that it started: they lose their parent when it is killed, and must not be lost to us."""
        if self._child is not None and self._child.running:
            with contextlib.suppress(psutil.NoSuchProcess):
                self._family = [
                    *(member for member in self._family if member.is_running()),
                    *psutil.Process(self._child.pid).children(recursive=True),
                ]
