"""Sees what a program under test leaves running."""

import contextlib
import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from tests.support.processes import is_gone, words_of

_PR_SET_CHILD_SUBREAPER = 36


class Watch:
    """Sees all processes that are started below this one, orphans too: they become ours when their parents end."""

    def __init__(self) -> None:
        self._before = set(self._below())

    def still_running(self) -> list[str]:
        """What was started since then and has not ended."""
        return [self._name(process) for process in self._new() if not is_gone(process)]

    def clean_up(self) -> None:
        """End what is left, so that one failed test does not disturb the next."""
        for process in self._new():
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                process.kill()
                os.waitpid(process.pid, 0)

    def _new(self) -> list[psutil.Process]:
        return [process for process in self._below() if process not in self._before]

    @staticmethod
    def _below() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    @staticmethod
    def _name(process: psutil.Process) -> str:
        return f"{process.pid} {' '.join(words_of(process))[:200]}"


@contextmanager
def watching() -> Iterator[Watch]:
    """A watch over all that is started in here; what is left at the end is ended."""
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    watch = Watch()
    try:
        yield watch
    finally:
        watch.clean_up()
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
