"""Processes that have ended, though nobody may have taken leave of them yet: orphans are reaped by the machine's first
process, at once, after seconds or, in some containers, never."""

import contextlib
import os
import select
import time
from collections.abc import Iterable

import psutil


def is_gone(process: psutil.Process) -> bool:
    """Whether it does not run any more."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def words_of(process: psutil.Process) -> list[str]:
    """The words that it was started with; none of a process that has ended."""
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []


def wait_gone(processes: Iterable[psutil.Process], *, within_s: float = 20) -> None:
    """Wait until all of them have ended."""
    deadline = time.monotonic() + within_s
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            sign = os.pidfd_open(process.pid)
            try:
                if not is_gone(process):
                    select.select([sign], [], [], max(0, deadline - time.monotonic()))
            finally:
                os.close(sign)
        assert is_gone(process), f"it still runs: {process}"
