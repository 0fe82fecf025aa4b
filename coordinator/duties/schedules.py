"""Each second: schedules of which an instant is due become an event, in whose transaction each instant is decided once.

The look takes no lock, so that a farm without schedules pays a look at an empty index.
"""

from typing import Protocol

from coordinator.operations.inbox import Inbox
from coordinator.operations.schedules import FireSchedules

EVERY_S = 1.0


class DueSchedules(Protocol):
    """Where they are written down."""

    async def schedules_due(self) -> list[str]:
        """Their names."""


class Clock:
    """Posts what is due, unless the writer is behind with it."""

    def __init__(self, inbox: Inbox, schedules: DueSchedules) -> None:
        self._inbox = inbox
        self._schedules = schedules

    async def look(self) -> None:
        """One round."""
        if self._inbox.holds(FireSchedules):
            return
        names = await self._schedules.schedules_due()
        if names:
            self._inbox.post(FireSchedules(tuple(names)))
