"""The lease of an exclusive attempt: until when its worker may run it, and when the task may go to another.

Two clocks run. The worker's starts when it *sends* a heartbeat that lists the attempt, the farm's when that heartbeat
is *applied*, which is later. Both count the same time, so the worker's is over first, and by then the worker has ended
what ran. A twentieth on top lets clocks differ in their pace. Heartbeats renew a lease until the attempt gives up its
task; then the lease is closed, and stands in the way of the next attempt until one of these:

| released by | when |
|---|---|
| `said` | the worker itself reported the end: finished, handed back, or stopped as it was asked to |
| `never_granted` | no heartbeat had listed the attempt: its worker was never allowed to start it |
| `expired` | the lease, and a twentieth of it, has passed |
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from coordinator.domain.attempt import AttemptEvent

#: What happens because the worker itself has reported the end.
_WORDS: Final = frozenset({AttemptEvent.REPORTED, AttemptEvent.ACCEPTED_LATE})
#: The part of a lease that is waited for besides, because clocks differ in their pace.
MARGIN: Final = 0.05


class Released(StrEnum):
    """Why a lease is in nobody's way any more."""

    SAID = "said"
    NEVER_GRANTED = "never_granted"
    EXPIRED = "expired"


@dataclass(slots=True)
class Lease:
    """The lease of one attempt; `until` and `free_at` are None before the first heartbeat that lists it."""

    task_id: int
    attempt: int
    worker_id: str
    until: datetime | None = None
    free_at: datetime | None = None


def margin_s(lease_s: float) -> float:
    """Seconds between the end of a lease of *lease_s* and the time from which the task may go to another."""
    return lease_s * MARGIN


def released_by(lease: Lease, event: AttemptEvent) -> Released | None:
    """Whether the *event* that takes the task from an attempt also releases its *lease*; None: time will.

    Only the worker's own report of the end is believed. That a worker is silent, or lists the attempt no more, may mean
    that the task runs on without it.
    """
    if event in _WORDS:
        return Released.SAID
    return Released.NEVER_GRANTED if lease.until is None else None


def expired(lease: Lease, now: datetime) -> bool:
    """Whether time alone has released a closed *lease*."""
    return lease.free_at is None or now >= lease.free_at
