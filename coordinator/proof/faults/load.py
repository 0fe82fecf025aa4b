"""Work that does not end while a fault lasts: jobs submitted one after another, so that some are always under way.

Promises: each job is submitted until a coordinator has taken it, however many die meanwhile (its key keeps it from
being taken twice); the stage is told of all that were taken, for whoever waits for them and audits them afterwards.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from coordinator.client import FarmhandError
from coordinator.proof.faults.stage import Stage
from coordinator.proof.faults.work import Given, Work, a_job

#: Jobs that are under way at once, and how many echo tasks each of them has more than the job of a run.
AT_ONCE: Final = 3
TIMES: Final = 10
#: Jobs of one load have numbers of their own, this far from those of other runs.
APART: Final = 1_000_000
_OPEN: Final = "SELECT count(*) < $2 FROM jobs WHERE id = ANY($1) AND finished_at IS NULL"
_DONE: Final = "SELECT coalesce(sum(n_completed), 0)::float8 FROM jobs WHERE id = ANY($1)"
_LOOK_S: Final = 0.1


class Load:
    """Keeps *stage* busy while `busy` lasts. What was taken is in the stage's `given`, too."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._first = APART * stage.number
        self._jobs: list[int] = []

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[None]:
        """Submit until the end of the block; the jobs go on after it."""
        submitting = asyncio.create_task(self._submit_for_ever())
        try:
            yield
        finally:
            submitting.cancel()
            await asyncio.wait([submitting])
        if not submitting.cancelled():
            submitting.result()

    async def rate(self, seconds: float) -> float:
        """Tasks completed a second, over the next *seconds*."""
        began, before = time.monotonic(), await self._completed()
        await asyncio.sleep(seconds)
        return (await self._completed() - before) / (time.monotonic() - began)

    async def _completed(self) -> float:
        async with self._stage.database() as connection:
            return float(await connection.fetchval(_DONE, self._jobs))

    async def _submit_for_ever(self) -> None:
        while True:
            number = self._first + len(self._jobs)
            work = a_job(number, self._stage.farm.path, times=TIMES)
            self._jobs.append(await self._submit(work))
            self._stage.given.append(Given(self._jobs[-1], number, work))
            while not await self._stage.until(_OPEN, self._jobs, AT_ONCE, within_s=60):
                pass

    async def _submit(self, work: Work) -> int:
        while True:
            for name, part in self._stage.farm.coordinators.items():
                if part.running:
                    with contextlib.suppress(FarmhandError):
                        async with self._stage.farm.client(name) as client:
                            return (await client.submit(work.spec)).job
            await asyncio.sleep(_LOOK_S)
