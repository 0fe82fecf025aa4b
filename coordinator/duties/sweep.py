"""Each second: tasks whose time has come, assignments to send again, work that can be assigned; silent workers, and
those whose schedule changes.

The events check in their transaction when the duty last ran, so that several coordinators do not do it twice.
"""

from coordinator.operations.inbox import Inbox
from coordinator.operations.table import JudgeSilence, Sweep
from coordinator.operations.tending import Tend
from coordinator.operations.workers import Silence

EVERY_S = 1.0


class Sweeper:
    """Posts the duties of each second, unless the writer is behind with them."""

    def __init__(self, inbox: Inbox, patience: Silence) -> None:
        self._inbox = inbox
        self._patience = patience

    async def sweep(self) -> None:
        """One round."""
        if not self._inbox.holds(Sweep):
            self._inbox.post(Sweep())
            self._inbox.post(JudgeSilence(self._patience))
            self._inbox.post(Tend())
