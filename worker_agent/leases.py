"""The leases of exclusive attempts, as their agent holds them.

A lease begins with the `beat_ack` of the first heartbeat that lists the attempt, which is not started before. It counts
from the moment in which that heartbeat was *sent*, so it is over before the coordinator's own lease, which counts from
when the heartbeat arrived. Later acknowledgements renew it. What runs is ended before the lease is over, by its
supervisor, which has been told when (`supervisor`); the agent may be stopped, hung or dead by then.

Time is CLOCK_BOOTTIME, which goes on while the machine sleeps.
"""

import sys
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Final

from worker_agent.plan import Ref

_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
#: Seconds between SIGTERM and the end of the lease, at most; SIGKILL comes in the middle of them.
KILL_GRACE_S: Final = 5.0
#: The part of a lease that this may be, when the lease is short.
GRACE_PART: Final = 1 / 6
#: As many heartbeats may wait for their acknowledgement.
MOST_SENT: Final = 256


def supported() -> bool:
    """Whether this machine can supervise exclusive tasks."""
    return sys.platform == "linux"


def boottime() -> float:
    """Seconds on the clock that counts sleep too (where there is none, nothing is supervised)."""
    return time.clock_gettime(_CLOCK)


@dataclass(frozen=True, slots=True)
class Times:
    """When what runs gets SIGTERM, and when SIGKILL."""

    terminate_at: float
    kill_at: float


def times_of(until: float, lease_s: float) -> Times:
    """The times for a lease of *lease_s* that is over at *until*."""
    grace_s = min(KILL_GRACE_S, lease_s * GRACE_PART)
    return Times(until - grace_s, until - grace_s / 2)


class Lease:
    """The lease of one attempt; *watch* hears of each renewal, and *prepare* says what place a program is to take."""

    __slots__ = ("prepare", "times", "watch")

    def __init__(self, times: Times) -> None:
        self.times = times
        self.watch: Callable[[Times], None] | None = None
        self.prepare: Callable[[], str] | None = None

    def renew(self, times: Times) -> None:
        """Let it run until *times*, unless it runs longer already."""
        if times.terminate_at > self.times.terminate_at:
            self.times = times
            if self.watch is not None:
                self.watch(times)


class Leases:
    """The leases of the attempts that the agent holds. Pure: the times come in."""

    def __init__(self) -> None:
        self._sent: dict[int, tuple[float, frozenset[Ref]]] = {}
        self._of: dict[Ref, Lease] = {}

    def of(self, ref: Ref) -> Lease | None:
        """The lease of an attempt, if it has been granted one."""
        return self._of.get(ref)

    def sent(self, seq: int, at: float, refs: Collection[Ref]) -> None:
        """Heartbeat *seq* goes out, at *at* or later; it lists *refs*, all exclusive attempts that there are."""
        for ref in self._of.keys() - refs:
            del self._of[ref]
        if refs:
            self._sent[seq] = (at, frozenset(refs))
            for old in list(islice(self._sent, max(0, len(self._sent) - MOST_SENT))):
                del self._sent[old]

    def acknowledged(self, seq: int, lease_s: float, refs: Iterable[Ref]) -> list[Ref]:
        """The coordinator has applied heartbeat *seq* and renewed the leases of *refs*: those that may run now."""
        at, listed = self._sent.get(seq, (0.0, frozenset[Ref]()))
        for old in [one for one in self._sent if one < seq]:
            del self._sent[old]
        granted = [ref for ref in refs if ref in listed]
        for ref in granted:
            times = times_of(at + lease_s, lease_s)
            lease = self._of.setdefault(ref, Lease(times))
            lease.renew(times)
        return granted
