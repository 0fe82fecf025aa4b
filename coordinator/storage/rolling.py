"""Rolls samples up, and drops what is old: each stretch in a transaction of its own, by one coordinator at a time.

Doing a stretch twice gives the same rows: it is made anew from what is below it. The sums are done here, beside the
event loop, because for lists of this kind Python is several times cheaper than Postgres; at most the samples of
`_TOGETHER` workers are held at once.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from coordinator.domain.figures import Block, Figures, merged
from coordinator.domain.statistics import GROUND, LEVELS
from coordinator.storage.measuring import WIDEST, blocks_of, farm_of, lines_of
from coordinator.storage.packing import block_of, row_of
from coordinator.storage.pool import transaction, translate
from coordinator.storage.queries import load

_SQL: Final = load("statistics")
#: Who rolls up holds it ("farms").
LOCK: Final = 0x6661726D73
#: Seconds that a statement may take.
_LONGEST_S: Final = 60
#: Workers whose samples are held at once.
_TOGETHER: Final = WIDEST["worker"]

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"


@dataclass(frozen=True, slots=True)
class Kept:
    """Days that figures are kept: samples, those of 5 and 15 minutes, of hours, of days."""

    samples: int = 2
    minutes: int = 30
    hours: int = 400
    days: int = 3650


class Roller:
    """Implements what the duty of statistics needs."""

    def __init__(self, pool: asyncpg.Pool, kept: Kept) -> None:
        self._pool = pool
        self._kept = kept

    async def roll(self) -> int:
        """Roll up all that can be; how many stretches."""
        rolled = 0
        for level in LEVELS:
            while await self._roll_one(level):
                rolled += 1
        return rolled

    async def prune(self) -> None:
        """Have partitions for the days to come; drop what is older than it is kept."""
        kept = self._kept
        try:
            async with transaction(self._pool) as connection:
                if await connection.fetchval(_SQL["alone"], LOCK):
                    await connection.execute(_SQL["partitions"], kept.samples, kept.minutes)
                    await connection.execute(_SQL["prune"], kept.hours, kept.days, kept.samples, kept.minutes)
        except Exception as error:
            raise translate(error) from error

    async def _roll_one(self, level: str) -> bool:
        period, below = timedelta(seconds=LEVELS[level]), GROUND.get(level)
        try:
            async with transaction(self._pool) as connection:
                if not await connection.fetchval(_SQL["alone"], LOCK):
                    return False
                await connection.execute(_SQL["patience"])
                ground = await connection.fetchval(_SQL["ground"], below)
                if below is None:
                    stretch = await connection.fetchrow(
                        _SQL["stretch_of_samples"], level, period, ground, timeout=_LONGEST_S
                    )
                else:
                    stretch = await connection.fetchrow(_SQL["stretch"], level, period, ground, below)
                if stretch is None:
                    await connection.execute(_SQL["caught_up"], level, period, ground)
                    return False
                start, stop = stretch
                await connection.execute(_SQL["clear"], level, start)
                if below is None:
                    await _roll_samples(connection, level, start, stop)
                else:
                    await _roll_up(connection, level, below, start, stop)
                await connection.execute(_SQL["done"], level, stop)
                return True
        except Exception as error:
            raise translate(error) from error


async def _roll_samples(connection: Connection, level: str, start: datetime, stop: datetime) -> None:
    """What the samples of a stretch come to."""
    workers = [row["worker"] for row in await connection.fetch(_SQL["sampled"], start, stop)]
    worked = {row["worker_id"] for row in await connection.fetch(_SQL["worked"], start, stop)}
    farm: dict[str, list[Figures]] = defaultdict(list)
    for number in range(0, len(workers), _TOGETHER):
        some_workers = workers[number : number + _TOGETHER]
        samples = await connection.fetch(_SQL["samples"], start, stop, some_workers, timeout=_LONGEST_S)
        lines = await asyncio.to_thread(lines_of, samples, worked)
        for (metric, split), some in lines.items():
            if split == "worker":
                farm[metric].append(Figures.together([figures for _, figures in some]))
        await _put(connection, level, blocks_of(start, lines))
    farm_lines = {(metric, "farm"): farm_of(parts) for metric, parts in farm.items()}
    await _put(connection, level, blocks_of(start, farm_lines))


async def _roll_up(connection: Connection, level: str, below: str, start: datetime, stop: datetime) -> None:
    """What the finer level comes to, metric by metric."""
    for (metric,) in await connection.fetch(_SQL["metrics"], below):
        for split in ("farm", "worker", "variant"):
            rows = await connection.fetch(_SQL["ground_figures"], below, start, stop, metric, split)
            if rows:
                await _put(connection, level, await asyncio.to_thread(_merged, metric, split, start, rows))


def _merged(metric: str, split: str, at: datetime, rows: Sequence[asyncpg.Record]) -> list[tuple[str, str, Block]]:
    return list(blocks_of(at, {(metric, split): merged(map(block_of, rows)).items()}))


async def _put(connection: Connection, level: str, blocks: Iterable[tuple[str, str, Block]]) -> None:
    rows: list[tuple[Any, ...]] = [row_of(level, *one) for one in blocks]
    await connection.executemany(_SQL["put"], rows)
