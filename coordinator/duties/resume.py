"""Large jobs that were left half made or half canceled, by a coordinator that died, are gone on with."""

from typing import Protocol

from coordinator.operations.inbox import Inbox
from coordinator.operations.table import CancelMore, GrowJob

EVERY_S = 10.0


class UnfinishedWork(Protocol):
    """Where it is written down."""

    async def unfinished_work(self) -> list[tuple[int, bool]]:
        """(job, whether it still grows; else it is being canceled)."""


class Resumer:
    """Posts what is left to do, unless it is under way here."""

    def __init__(self, inbox: Inbox, work: UnfinishedWork) -> None:
        self._inbox = inbox
        self._work = work

    async def resume(self) -> None:
        """One round."""
        if self._inbox.holds(GrowJob) or self._inbox.holds(CancelMore):
            return
        for job, grows in await self._work.unfinished_work():
            self._inbox.post(GrowJob(job) if grows else CancelMore(job))
