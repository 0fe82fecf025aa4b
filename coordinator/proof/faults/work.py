"""The work of one run: a small job in which every promise has something to lose.

Echo tasks (thousands a second), tasks that wait for them, programs whose outputs are promoted, exclusive programs, and
one task that waits for all.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from schemas.job import JobSpec

_PROGRAM: Final = Path(__file__).with_name("program.py")
ECHOES: Final = 12
SECONDS: Final = 6
PROGRAMS: Final = 4
EXCLUSIVE: Final = 3
TASKS: Final = ECHOES + SECONDS + PROGRAMS + EXCLUSIVE + 1
#: What the programs take, in seconds.
PROGRAM_S: Final = 0.4
EXCLUSIVE_S: Final = 0.6


@dataclass(frozen=True)
class Work:
    """A job, and where its programs write down that they ran."""

    spec: JobSpec
    book: Path


@dataclass(frozen=True)
class Given:
    """Work that a coordinator has taken as job number *job*; *number* is that of its run."""

    job: int
    number: int
    work: Work


def a_job(run: int, directory: Path, *, times: int = 1) -> Work:
    """The job of run number *run*, with its book below *directory*; with so many *times* the echo tasks."""
    book = directory / f"run-{run}.book"
    tasks = [
        _task("echo", count=ECHOES * times),
        _task("second", count=SECONDS * times, after=["echo"]),
        _task("program", count=PROGRAMS, argv=_argv(book, PROGRAM_S, "shared"), promote=f"run-{run}/{{{{index}}}}"),
        _task("only", count=EXCLUSIVE, argv=_argv(book, EXCLUSIVE_S, "exclusive"), exclusive=True),
        _task("last", count=1, after=["second", "program", "only"]),
    ]
    # Nothing but a lost task may end a run: faults that look like failures are tried again at once, anywhere.
    job = {"name": f"run {run}", "key": f"run-{run}", "tasks": tasks, "max_losses": 100, "block_after": 0}
    return Work(JobSpec.model_validate(job), book)


def _argv(book: Path, seconds: float, kind: str) -> list[str]:
    return [sys.executable, "-I", "-S", str(_PROGRAM), str(book), str(seconds), kind]


def _task(name: str, *, count: int, argv: list[str] | None = None, **more: Any) -> dict[str, Any]:
    command: dict[str, Any] = {"name": "exec", "parameters": {"argv": argv}} if argv else {"name": "echo"}
    return {
        "name": name,
        "kind": command["name"],
        "commands": [command],
        "array": {"count": count},
        "retries": 50,
        **more,
    }
