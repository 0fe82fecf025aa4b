"""Workers that have nothing to do, looked for now and then; and those that are long gone, each hour."""

from datetime import timedelta
from typing import Final

from coordinator.operations.inbox import Inbox
from coordinator.operations.tending import RemoveGone, TendIdle

IDLE_EVERY_S: Final = 15.0
GONE_EVERY_S: Final = 3600.0


class Caretaker:
    """Posts both. Workers are removed after *remove_after_days* (0: never)."""

    def __init__(self, inbox: Inbox, remove_after_days: int) -> None:
        self._inbox = inbox
        self._remove_after = timedelta(days=remove_after_days)

    async def look_for_idle(self) -> None:
        """One round."""
        if not self._inbox.holds(TendIdle):
            self._inbox.post(TendIdle())

    async def look_for_gone(self) -> None:
        """One round."""
        if self._remove_after and not self._inbox.holds(RemoveGone):
            self._inbox.post(RemoveGone(self._remove_after))
