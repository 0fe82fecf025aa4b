"""Child processes that cannot outlive us.

The kernel sends a child its death signal when the *thread* that forked it ends, so all children are forked by one
thread that lives as long as this process: a server may be started from any thread or event loop. Each child is a
session of its own (Ctrl-C in a terminal reaches us, not it) and writes into a file, never into an unread pipe.
"""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from coordinator.local.errors import LocalServiceError

_LAUNCH: Final = str(Path(__file__).with_name("launch.py"))
_FORKER: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="forker")


@dataclass(frozen=True, slots=True)
class Account:
    """The system user a child runs as, and whether it may pass directories that are closed to that user."""

    name: str
    uid: int
    gid: int
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, and where its words go. `death` is the signal it gets when we end without stopping it."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    log: Path
    account: Account | None = None
    death: signal.Signals = signal.SIGKILL


def _spawn(program: Program, stdin: int) -> subprocess.Popen[bytes]:
    account = program.account or Account("", -1, -1)
    words = map(int, (os.getpid(), program.death, account.uid, account.gid, account.passing))
    launch = [sys.executable, "-I", "-S", _LAUNCH, *map(str, words)]
    with program.log.open("wb") as log:
        return _FORKER.submit(
            lambda: subprocess.Popen(
                [*launch, *program.argv],
                stdin=stdin,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=program.log.parent,
                env=dict(program.env),
                start_new_session=True,
            )
        ).result()


def _failure(program: Program, what: str) -> LocalServiceError:
    """The error that says *what* happened to *program*, with its last words."""
    words = program.log.read_text(errors="replace").splitlines() if program.log.exists() else []
    last = next((line.strip() for line in reversed(words) if line.strip()), "it said nothing")
    return LocalServiceError(f"{program.name} {what}: {last} (log: {program.log})")


def run(program: Program, text: str = "", *, timeout_s: float = 120) -> None:
    """Run *program* to its end, with *text* as its input.

    Raises:
        LocalServiceError: it failed; with its last words.
    """
    process = _spawn(program, subprocess.PIPE)
    try:
        process.communicate(text.encode(), timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise _failure(program, f"was not done after {timeout_s:.0f} s") from None
    finally:
        process.kill()
        process.wait()
    if process.returncode != 0:
        raise _failure(program, f"failed with status {process.returncode}")


class Child:
    """A running program."""

    def __init__(self, program: Program) -> None:
        """Start *program*. Its log begins anew."""
        self.program = program
        self._process = _spawn(program, subprocess.DEVNULL)
        self._pidfd = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended (less than zero: by that signal); None while it runs."""
        return self._process.poll()

    def stop(self, how: signal.Signals = signal.SIGTERM, *, timeout_s: float = 30) -> None:
        """Ask it to end, wait, and insist when it does not."""
        if self.running:
            self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to it and to all its children, at once; returns when all of them are gone."""
        family = _descendants(self.pid) if self.running else {}
        self._process.kill()
        for member in family.values():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(member, signal.SIGKILL)
        self._process.wait()
        for member in family.values():
            _wait_readable({member}, 10)
            os.close(member)
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def failure(self, what: str) -> LocalServiceError:
        """The error that says *what* happened, with its last words."""
        return _failure(self.program, what)

    def ended_before(self, signs: int, timeout_s: float) -> bool:
        """Wait for its end or for file descriptor *signs* to become readable, whichever comes first.

        Raises:
            LocalServiceError: neither came in time.
        """
        ready = _wait_readable({self._pidfd, signs}, timeout_s)
        if not ready:
            raise self.failure(f"was not ready after {timeout_s:.0f} s")
        return signs not in ready


def end(family: Iterable[psutil.Process], *, timeout_s: float = 10) -> None:
    """SIGKILL to each of *family*; returns when they have ended, whether or not somebody has reaped them."""
    signs = []
    for member in family:
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            signs.append(os.pidfd_open(member.pid))
            member.kill()
    for sign in signs:
        _wait_readable({sign}, timeout_s)
        os.close(sign)


def _descendants(pid: int) -> dict[int, int]:
    """Process ids of all below *pid*, each with a file descriptor that becomes readable at its end."""
    found: dict[int, int] = {}
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(ProcessLookupError):
                found[member.pid] = os.pidfd_open(member.pid)
    return found


def _wait_readable(descriptors: set[int], timeout_s: float) -> set[int]:
    """Those of *descriptors* that became readable, at least one of them unless time was up."""
    with selectors.DefaultSelector() as selector:
        for descriptor in descriptors:
            selector.register(descriptor, selectors.EVENT_READ)
        return {key.fd for key, _ in selector.select(timeout_s)}
