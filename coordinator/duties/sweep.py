"""Each second: tasks whose time has come, assignments to send again, work that can be assigned; silent workers, and
those whose schedule changes.

The events check in their transaction when the duty last ran, so that several coordinators do not do it twice.
"""

from collections.abc import Callable

from coordinator.operations.inbox import Inbox
from coordinator.operations.judging import JudgeSilence, Silence
from coordinator.operations.table import Sweep
from coordinator.operations.tending import Tend

EVERY_S = 1.0


class Sweeper:
    """Posts the duties of each second, unless the writer is behind with them."""

    def __init__(self, inbox: Inbox, patience: Silence, steady: Callable[[], bool]) -> None:
        """*steady* tells whether we hear the workers: who does not hear does not judge."""
        self._inbox = inbox
        self._patience = patience
        self._steady = steady

    async def sweep(self) -> None:
        """One round."""
        if not self._inbox.holds(Sweep):
            self._inbox.post(Sweep())
            if self._steady():
                self._inbox.post(JudgeSilence(self._patience))
            self._inbox.post(Tend())
