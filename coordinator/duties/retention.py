"""Retention: jobs that were finished long ago are set aside by an event; what is set aside is removed in slices."""

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from coordinator.operations.inbox import Inbox
from coordinator.operations.retention import ArchiveOld

EVERY_S = 2.0
#: Between looks for old jobs, and for old history, in rounds.
LOOK = 15
FORGET = 300
#: As many slices are removed in one round.
SLICES = 5


class Archive(Protocol):
    """Where the rows are."""

    async def old_jobs(self, days: int) -> list[int]:
        """Some jobs that can be archived."""

    async def remove_slice(self, forget: Callable[[Collection[str]], Awaitable[None]]) -> bool:
        """Remove some of what was archived; false when there was nothing."""

    async def remove_history(self, days: int) -> bool:
        """Remove some old history; false when there was none."""


class Retention:
    """Keeps the database from growing for ever. Days of 0 mean for ever."""

    def __init__(
        self,
        inbox: Inbox,
        archive: Archive,
        forget: Callable[[Collection[str]], Awaitable[None]],
        *,
        job_days: int,
        archive_days: int,
    ) -> None:
        self._inbox = inbox
        self._archive = archive
        self._forget = forget
        self._job_days = job_days
        self._archive_days = archive_days
        self._round = 0

    async def keep(self) -> None:
        """One round."""
        if self._job_days and self._round % LOOK == 0 and not self._inbox.holds(ArchiveOld):
            jobs = await self._archive.old_jobs(self._job_days)
            if jobs:
                self._inbox.post(ArchiveOld(tuple(jobs), self._job_days))
        for _ in range(SLICES):
            if not await self._archive.remove_slice(self._forget):
                break
        if self._archive_days and self._round % FORGET == 0:
            for _ in range(SLICES):
                if not await self._archive.remove_history(self._archive_days):
                    break
        self._round += 1
