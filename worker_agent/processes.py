"""Processes of tasks: each in a session of its own, ended as a group, and found again after the agent's death.

A process is known by its pid, its start time and the machine's boot; a reused pid is never touched. Besides, every
process of a task carries the journal's mark in its environment, so that what was started in the very moment before the
agent died, or has left its session, is found too.
"""

import asyncio
import contextlib
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from worker_agent.journal import ProcessRow
from worker_agent.leases import Lease
from worker_agent.supervision import Supervision, is_supervisor

#: The variable that marks processes of this journal's tasks.
MARK: Final = "FARMHAND_AGENT_MARK"
#: Seconds that orphans get between SIGTERM and SIGKILL, and that pipes get to close after the end of a process.
ORPHAN_GRACE_S: Final = 2.0
DRAIN_S: Final = 1.0
#: Seconds that orphans of exclusive tasks get besides, before they are given up (a process that waits for a dead file
#: server cannot be killed).
ORPHAN_SUPERVISED_S: Final = 10.0
#: Start times that differ by less are one.
SAME_START_S: Final = 0.01
_READ_BYTES: Final = 64 * 1024


def boot_id() -> str:
    """What tells this start of the machine from the next."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return f"{platform.node()}@{int(psutil.boot_time())}"


def started_at(pid: int) -> float:
    """The start time of *pid*, as it is compared later; 0 when it is gone already."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return 0.0


class Process:
    """A running program that leads a session of its own. Making one raises OSError.

    With a *lease* it runs under a supervisor, and has ended only when nothing that it started is left.

    What it prints (both streams in one pipe) goes to *on_output* in pieces, one a turn of the event loop, so that a
    flood does not keep the loop to itself.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        environment: Mapping[str, str],
        on_output: Callable[[bytes], None],
        stdin: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        lease: Lease | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_output = on_output
        self._supervision = Supervision(lease) if lease is not None else None
        if self._supervision is not None:
            argv, pass_fds = self._supervision.wrap(argv), [*pass_fds, self._supervision.theirs.fileno()]
        try:
            self._popen = subprocess.Popen(
                argv,
                cwd=cwd,
                env=dict(environment),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
                bufsize=0,
            )
        except (OSError, ValueError):
            if self._supervision is not None:
                self._supervision.close()
            raise
        finally:
            if self._supervision is not None:
                self._supervision.theirs.close()
        self.pid = self._popen.pid
        self._exited = asyncio.Event()
        self._closed = asyncio.Event()
        self._pidfd: int | None = None
        self._watch_exit()
        self._fd = self._popen.stdout.fileno() if self._popen.stdout else -1
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._read)

    def _watch_exit(self) -> None:
        """By a handle of the kernel's where there is one, else by a thread that waits."""
        try:
            self._pidfd = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            waiting = self._loop.run_in_executor(None, self._popen.wait)
            waiting.add_done_callback(lambda _: self._exited.set())
        else:
            self._loop.add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        self._popen.poll()
        if self._pidfd is not None:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None
        self._exited.set()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_output(data)
        else:
            self._close_pipe()

    def _close_pipe(self) -> None:
        if not self._closed.is_set():
            self._loop.remove_reader(self._fd)
            if self._popen.stdout:
                self._popen.stdout.close()
            self._closed.set()

    async def wait(self) -> int:
        """Its exit code (negative: the signal that ended it)."""
        await self._exited.wait()
        return int(self._popen.returncode)

    @property
    def overran(self) -> bool:
        """Whether its supervisor ended it, because its lease was over."""
        return self._supervision is not None and self._supervision.over

    def signal_group(self, number: signal.Signals) -> None:
        """Send *number* to its whole group; nothing happens when that is gone."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    async def end(self, grace_s: float) -> None:
        """SIGTERM to the group, SIGKILL *grace_s* later; at once when cancelled meanwhile. Whatever happens, the
        end of a supervised one is waited for."""
        if self._supervision is not None:
            await self._supervision.end(grace_s, self._exited)
            return
        try:
            if not self._exited.is_set() and grace_s > 0:
                self.signal_group(signal.SIGTERM)
                async with asyncio.timeout(grace_s):
                    await self._exited.wait()
        except TimeoutError:
            pass
        finally:
            self.signal_group(signal.SIGKILL)

    async def finish(self) -> None:
        """After its end: what is left of the group has no business any more; the pipe is read to its end, unless a
        daemon holds it."""
        if self._supervision is not None:
            self._supervision.close()
        else:
            self.signal_group(signal.SIGKILL)
        try:
            async with asyncio.timeout(DRAIN_S):
                await self._closed.wait()
        except TimeoutError:
            pass
        finally:
            self._close_pipe()


@dataclass(frozen=True, slots=True)
class Orphans:
    """How many processes of a former life there were, and the exclusive attempts of which some cannot be ended."""

    ended: int
    left: set[tuple[int, int]]


def end_orphans(rows: Sequence[ProcessRow], mark: str) -> Orphans:
    """End every process of a former life of this agent: those in the journal and those that carry *mark*. Blocks for
    up to `ORPHAN_GRACE_S`, and a moment for the kernel. Supervisors end by themselves when nothing that they look after
    is left; that may take longer."""
    boot = boot_id()
    found: dict[int, psutil.Process] = {}
    for row in rows:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(row.pid)
            if row.boot_id == boot and abs(process.create_time() - row.started) < SAME_START_S:
                found[row.pid] = process
                found.update((child.pid, child) for child in process.children(recursive=True))
    own = os.getpid()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != own and process.environ().get(MARK) == mark:
                found[process.pid] = process
    supervisors = [process for process in found.values() if is_supervisor(process)]
    processes = [process for process in found.values() if process not in supervisors]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.send_signal(number)
        processes = _wait_for(processes, ORPHAN_GRACE_S)
    left = {process.pid for process in _wait_for(supervisors, ORPHAN_SUPERVISED_S)}
    return Orphans(len(found), {(row.task, row.attempt) for row in rows if row.pid in left})


def _wait_for(processes: Iterable[psutil.Process], timeout_s: float) -> list[psutil.Process]:
    """Those that still run after *timeout_s*. What nobody has buried yet has ended."""
    deadline_s = time.monotonic() + timeout_s
    left = list(processes)
    while left := [process for process in left if _runs(process)]:
        if time.monotonic() >= deadline_s:
            break
        time.sleep(0.01)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
