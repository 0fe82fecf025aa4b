"""The leases that one transaction sees, and what it does with them.

Storage loads, and locks, the leases that stand in the way of the tasks of a batch, so that no heartbeat renews one of
them while the farm decides. The ledger asks here before a task becomes ready.
"""

from datetime import datetime
from typing import NamedTuple

from coordinator.domain.attempt import Attempt, AttemptEvent
from coordinator.domain.lease import Lease, Released, expired, released_by


class Closed(NamedTuple):
    """A lease that is renewed no more; *released* tells whether it still stands in the way."""

    task_id: int
    attempt: int
    released: Released | None


class Leases:
    """Task -> the lease that is not released; at most one."""

    def __init__(self) -> None:
        self.held: dict[int, Lease] = {}
        self.lent: list[Lease] = []
        self.closed: list[Closed] = []

    def lend(self, attempt: Attempt) -> None:
        """A new exclusive attempt: its lease begins with the first heartbeat that lists it."""
        lease = Lease(attempt.task_id, attempt.attempt, attempt.worker_id)
        self.held[attempt.task_id] = lease
        self.lent.append(lease)

    def close(self, attempt: Attempt, event: AttemptEvent) -> Lease | None:
        """*event* took the task from *attempt*, or ended it: its lease, if it stood in the way and is released now."""
        lease = self.held.get(attempt.task_id)
        if lease is None or lease.attempt != attempt.attempt:
            return None
        released = released_by(lease, event)
        self.closed.append(Closed(lease.task_id, lease.attempt, released))
        return None if released is None else self.held.pop(lease.task_id)

    def bars(self, task_id: int, now: datetime) -> datetime | None:
        """Until when the task may not be given to anybody; None: it may be."""
        lease = self.held.get(task_id)
        if lease is None:
            return None
        if not expired(lease, now):
            return lease.free_at
        del self.held[task_id]
        released = Released.NEVER_GRANTED if lease.until is None else Released.EXPIRED
        self.closed.append(Closed(lease.task_id, lease.attempt, released))
        return None
