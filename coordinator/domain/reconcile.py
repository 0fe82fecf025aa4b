"""What a worker says that it holds, against what the rows say: the differences, and nothing else.

A heartbeat says nothing about an attempt that its worker has spoken of in a newer envelope (`seen_seq`), and nothing
about one that is on its way (`assigned`): that one is sent again by the sweep.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from coordinator.domain.attempt import Attempt, AttemptState


class Difference(StrEnum):
    """What is to be done about one attempt."""

    FORGOTTEN = "forgotten"  # a row says running or stopping, the worker does not list it
    BEGUN = "begun"  # assigned by the row, running by the worker
    RECEIVED = "received"  # assigned by the row, and the worker has it
    STOP = "stop"  # listed as held, and not its to run
    ANSWER = "answer"  # listed as finished, and the row has ended: it missed its verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    task: int
    attempt: int
    difference: Difference


def compare(rows: Mapping[tuple[int, int], Attempt], listed: Iterable[tuple[int, int, str]], seq: int) -> list[Finding]:
    """The differences between a worker's not ended attempts (*rows*) and what it lists (task, attempt, phase)."""
    findings = []
    named = set()
    for task, attempt, phase in listed:
        named.add((task, attempt))
        row = rows.get((task, attempt))
        if row is None:
            what = Difference.ANSWER if phase == "finished" else Difference.STOP
            findings.append(Finding(task, attempt, what))
        elif row.state is AttemptState.STOPPING and phase in ("received", "running"):
            findings.append(Finding(task, attempt, Difference.STOP))
        elif row.state is AttemptState.ASSIGNED and phase == "running":
            findings.append(Finding(task, attempt, Difference.BEGUN))
        elif row.state is AttemptState.ASSIGNED and phase == "received":
            findings.append(Finding(task, attempt, Difference.RECEIVED))
    for key, row in rows.items():
        if key not in named and row.state is not AttemptState.ASSIGNED and row.seen_seq < seq:
            findings.append(Finding(*key, Difference.FORGOTTEN))
    return findings
