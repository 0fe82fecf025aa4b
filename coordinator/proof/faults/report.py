"""What a proof says: a line for each fault, and one for all."""

import platform
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from coordinator.proof.faults.audit import Findings

_HEAD: Final = """# Faults

What is promised in [protocol.md](protocol.md) when a process dies, hangs or is cut off, tried on a whole farm: two
coordinators and three agents (real processes), RabbitMQ and Postgres, each way between them through a TCP hop that can
be hurt. Written by `make faults`; `make faults-short` is a selection of a few minutes, and a still shorter one is
part of `make test`.

In each run a job of {tasks} tasks (with dependencies, programs, promoted outputs, exclusive tasks) is submitted; when a
part of it is done, the fault happens and ends; then the job must complete by itself, within {patience} s.

- *lost*: tasks that were not completed in that time.
- *twice*: tasks with more than one accepted attempt, or completed more than once in the history.
- *overlaps*: two processes of one exclusive task at the same time, by what they wrote down themselves, every 20 ms.
- *other*: an invariant of the [doctor](doctor.md) that does not hold, a program that ran without having been assigned,
  an accepted one that did not run to its end, a published output that is not the accepted one's, a parked message, an
  error in the log of a process, a part that did not come back by itself.
- *seconds*: from the end of the fault until the job was completed, median and worst. The first line is what a job takes
  by itself.

"""


@dataclass(frozen=True)
class Run:
    """One run: the fault, what was found, and the seconds from the end of the fault to the end of the job."""

    fault: str
    findings: Findings
    seconds: float
    job: int = 0
    said: tuple[str, ...] = ()


def total(runs: Sequence[Run]) -> str:
    """All in one line."""
    return (
        f"{len(runs)} runs, {sum(run.findings.lost for run in runs)} lost, "
        f"{sum(run.findings.accepted_twice for run in runs)} accepted twice, "
        f"{sum(run.findings.overlaps for run in runs)} exclusive overlaps"
    )


def table(runs: Iterable[Run]) -> str:
    """A row for each fault, in the order in which they first came."""
    by_fault: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_fault[run.fault].append(run)
    lines = [
        "| fault | runs | tasks | lost | twice | overlaps | other | seconds |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for fault, some in by_fault.items():
        seconds = [run.seconds for run in some]
        counts = [
            len(some),
            sum(run.findings.tasks for run in some),
            sum(run.findings.lost for run in some),
            sum(run.findings.accepted_twice for run in some),
            sum(run.findings.overlaps for run in some),
            sum(bool(run.findings.others) for run in some),
        ]
        cells = " | ".join(str(count) for count in counts)
        lines.append(f"| {fault} | {cells} | {statistics.median(seconds):.1f}, {max(seconds):.1f} |")
    return "\n".join(lines)


def write(path: Path, runs: Sequence[Run], *, minutes: float, tasks: int, patience_s: float) -> None:
    """The page."""
    made = (
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {platform.machine()}: "
        f"{total(runs)}, in {minutes:.0f} minutes."
    )
    others = [f"- {run.fault}: {word}" for run in runs for word in run.findings.others]
    said = [f"- {run.fault}: {word}" for run in runs for word in run.said]
    parts = [_HEAD.format(tasks=tasks, patience=f"{patience_s:.0f}"), made, "", table(runs)]
    if said:
        parts += ["", "What it costs:", "", *said]
    if others:
        parts += ["", "What else was found:", "", *others[:50]]
    path.write_text("\n".join(parts) + "\n")
