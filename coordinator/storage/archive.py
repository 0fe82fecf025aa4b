"""Removes what was archived, beside the writer: nothing about an archived job changes any more."""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

import asyncpg

from coordinator.storage.pool import lent, transaction, translate
from coordinator.storage.queries import load

SQL: Final = load("recurring")
#: Tasks, or archives, that one transaction removes.
SLICE: Final = 1000
#: Jobs that are set aside in one go.
MOST_JOBS: Final = 20


class PostgresArchive:
    """Implements `duties.retention.Archive`. Every method raises `StoreUnavailableError` when the database is away."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        #: How far the history has been looked at.
        self._reached = 0

    async def old_jobs(self, days: int) -> list[int]:
        """Some jobs that were finished *days* ago and that nothing holds on to."""
        try:
            async with lent(self._pool) as connection:
                return [row["id"] for row in await connection.fetch(SQL["old_jobs"], days, MOST_JOBS)]
        except Exception as error:
            raise translate(error) from error

    async def remove_slice(self, forget: Callable[[Collection[str]], Awaitable[None]]) -> bool:
        """Remove a slice of archived tasks with all that is theirs; *forget* removes copies of files by digest first.

        False when there was nothing to remove. What a crash interrupts is done again.
        """
        try:
            async with transaction(self._pool) as connection:
                tasks = [row["id"] for row in await connection.fetch(SQL["slice_of_archived"], SLICE)]
                if tasks:
                    await forget([row["digest"] for row in await connection.fetch(SQL["digests_of"], tasks)])
                    await connection.execute(SQL["remove_tasks"], tasks)
                return _any(await connection.execute(SQL["remove_jobs"])) or bool(tasks)
        except Exception as error:
            raise translate(error) from error

    async def unnamed(self, digests: Collection[str]) -> list[str]:
        """Those of *digests* that no output has: a newer file took its place, or its row never came."""
        try:
            async with lent(self._pool) as connection:
                return [row["digest"] for row in await connection.fetch(SQL["unnamed"], list(digests))]
        except Exception as error:
            raise translate(error) from error

    async def remove_history(self, days: int) -> bool:
        """Remove a slice of history and archives of more than *days* ago.

        False when all that is so old has been looked at; the next call begins anew. Each looks at as much, however
        much is kept.
        """
        try:
            async with lent(self._pool) as connection:
                reached: int | None = await connection.fetchval(SQL["remove_history"], days, self._reached)
                removed = await connection.execute(SQL["remove_archives"], days, SLICE)
        except Exception as error:
            raise translate(error) from error
        self._reached = reached or 0
        return reached is not None or _any(removed)


def _any(done: str) -> bool:
    """Whether the statement changed a row."""
    return not done.endswith(" 0")
