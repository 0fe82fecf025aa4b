"""Waiting for a job, with its progress to look at: a bar on a terminal, lines elsewhere."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

from coordinator.cli.command import Session, fail
from coordinator.cli.output import clean, console, plural, say, show_json, span, write
from coordinator.client.errors import ExitCode

if TYPE_CHECKING:
    from schemas.views import JobDetail

_TIME: Final = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_EVERY_S: Final = 0.5


def seconds(text: str | None) -> float | None:
    """The seconds in *text*: 90, 90s, 10m, 2h, 1h30m."""
    if text is None:
        return None
    match = _TIME.fullmatch(text)
    if not text or match is None:
        fail(f"{text!r} is not a time such as 90s, 10m or 2h")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def wait_for(session: Session, job: int, timeout_s: float | None) -> ExitCode:
    """Watch *job* until it has ended or the time is over; what to exit with."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    view = None
    try:
        with _display() as display:
            for view in session.farm.watch(job, every_s=_EVERY_S):
                display.show(view)
                if view.finished_at is None and deadline is not None and time.monotonic() >= deadline:
                    say(f"job {job} goes on; wait again: farmhand jobs wait {job}")
                    return ExitCode.TIMED_OUT
    except KeyboardInterrupt:
        say(f"job {job} goes on; cancel it: farmhand jobs cancel {job}")
        return ExitCode.INTERRUPTED
    assert view is not None  # noqa: S101 - a watch ends with a finished job
    return _outcome(session, view)


def _outcome(session: Session, job: "JobDetail") -> ExitCode:
    counts = job.counts
    if session.json:
        show_json(job)
    else:
        done = f"{counts.completed} of {plural(job.total, 'task')} completed"
        rest = "".join(
            f", {count} {word}" for count, word in ((counts.failed, "failed"), (counts.canceled, "canceled")) if count
        )
        write(f"job {job.id} {job.state.value}: {done}{rest} in {span(job.submitted_at, job.finished_at)}")
        if counts.failed:
            say(f"see what failed: farmhand jobs show {job.id}")
    return ExitCode.DONE if job.state == "completed" else ExitCode.FAILED


class _Display(Protocol):
    def show(self, job: "JobDetail") -> None:
        """Show how far *job* is."""


@contextmanager
def _display() -> Iterator[_Display]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        yield _Bar(progress)


class _Bar:
    def __init__(self, progress: "object") -> None:
        from rich.progress import Progress  # noqa: PLC0415

        assert isinstance(progress, Progress)  # noqa: S101
        self._progress = progress
        self._task = progress.add_task("job", total=None, note="")

    def show(self, job: "JobDetail") -> None:
        name = clean(f"job {job.id} {job.name}")[:40]
        self._progress.update(
            self._task, description=name, total=job.total, completed=job.counts.completed, note=note(job)
        )


class _Lines:
    def __init__(self) -> None:
        self._last = ""

    def show(self, job: "JobDetail") -> None:
        line = f"job {job.id}: {job.counts.completed} of {job.total} completed"
        line += f", {said}" if (said := note(job)) else ""
        if line != self._last:
            say(line)
        self._last = line


def note(job: "JobDetail") -> str:
    """What else there is to say of a job that goes on: how many tasks run, how many failed, why the others wait."""
    counts = job.counts
    parts = [f"{count} {word}" for count, word in ((counts.running, "running"), (counts.failed, "failed")) if count]
    stuck = [why for why in job.waiting if why.kind in ("never", "later") and why.code != "busy"]
    if stuck:
        parts.append(f"{plural(stuck[0].tasks, 'task')} waiting: {clean(stuck[0].sentence)}")
    return ", ".join(parts)
