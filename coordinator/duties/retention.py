"""Retention: jobs that were finished long ago are set aside by an event; what is set aside is removed in slices.

Whatever finds something goes on in the next round, so that what is removed keeps up with what is made.

Copies of files that nobody can ask for any more go, too: a newer picture of the same name replaced it, say. Each
coordinator looks through its own, one shelf at a time.
"""

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Protocol

from coordinator.operations.inbox import Inbox
from coordinator.operations.retention import ArchiveOld

EVERY_S = 2.0
#: Rounds until the next look for old jobs, and for old history, when one has found nothing.
LOOK = 5
#: Rounds between looks at one of the shelves of copies: all are looked at in about two hours.
TIDY = 15
#: As many slices are removed in one round.
SLICES = 5


class Archive(Protocol):
    """Where the rows are."""

    async def old_jobs(self, days: int) -> list[int]:
        """Some jobs that can be archived."""

    async def remove_slice(self, forget: Callable[[Collection[str]], Awaitable[None]]) -> bool:
        """Remove some of what was archived; false when there was nothing."""

    async def remove_history(self, days: int) -> bool:
        """Remove some old history; false when all of it has been looked at."""

    async def unnamed(self, digests: Collection[str]) -> list[str]:
        """Those of *digests* that no output has."""


class Copies(Protocol):
    """Where the copies of files are, by digest, on so many shelves."""

    async def settled(self, shelf: int) -> list[str]:
        """The digests of what was put on this shelf long ago."""

    async def forget(self, digests: Collection[str]) -> None:
        """Remove the copies with these digests that nobody has put here just now."""


class Retention:
    """Keeps the database from growing for ever. Days of 0 mean for ever."""

    def __init__(
        self,
        inbox: Inbox,
        archive: Archive,
        copies: Copies,
        *,
        shelves: int,
        job_days: int,
        archive_days: int,
    ) -> None:
        self._inbox = inbox
        self._archive = archive
        self._copies = copies
        self._shelves = shelves
        self._job_days = job_days
        self._archive_days = archive_days
        self._round = self._jobs_in = self._history_in = 0

    async def keep(self) -> None:
        """One round."""
        if self._job_days and self._jobs_in == 0 and not self._inbox.holds(ArchiveOld):
            jobs = await self._archive.old_jobs(self._job_days)
            if jobs:
                self._inbox.post(ArchiveOld(tuple(jobs), self._job_days))
            self._jobs_in = 0 if jobs else LOOK
        await _some(partial(self._archive.remove_slice, self._copies.forget))
        if self._archive_days and self._history_in == 0:
            more = await _some(partial(self._archive.remove_history, self._archive_days))
            self._history_in = 0 if more else LOOK
        self._jobs_in, self._history_in = max(0, self._jobs_in - 1), max(0, self._history_in - 1)
        if self._round % TIDY == 0:
            await self.tidy(self._round // TIDY % self._shelves)
        self._round += 1

    async def tidy(self, shelf: int) -> None:
        """Remove from a shelf of copies what no output has."""
        kept = await self._copies.settled(shelf)
        if kept:
            await self._copies.forget(await self._archive.unnamed(kept))


async def _some(remove: Callable[[], Awaitable[bool]]) -> bool:
    """Remove some slices; whether there is more."""
    for _ in range(SLICES):
        if not await remove():
            return False
    return True
