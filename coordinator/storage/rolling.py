"""Rolls samples up, and drops what is old: each stretch in a transaction of its own, by one coordinator at a time.

Doing a stretch twice gives the same rows: it is made anew from what is below it.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import asyncpg

from coordinator.domain.statistics import LEVELS, METRICS
from coordinator.storage.pool import ACQUIRE_TIMEOUT_S, translate
from coordinator.storage.queries import load

_SQL: Final = load("statistics")
_LOCK: Final = 0x6661726D73  # "farms"
#: Seconds that one stretch may take.
_LONGEST_S: Final = 300


@dataclass(frozen=True, slots=True)
class Kept:
    """Days that figures are kept: samples, those of 5 minutes, of hours, of days."""

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
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection, connection.transaction():
                if await connection.fetchval(_SQL["alone"], _LOCK):
                    await connection.execute(_SQL["partitions"], kept.samples, kept.minutes)
                    await connection.execute(_SQL["prune"], kept.hours, kept.days, kept.samples, kept.minutes)
        except Exception as error:
            raise translate(error) from error

    async def _roll_one(self, level: str) -> bool:
        period = timedelta(seconds=LEVELS[level])
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as connection, connection.transaction():
                if not await connection.fetchval(_SQL["alone"], _LOCK):
                    return False
                await connection.execute(f"SET LOCAL statement_timeout = {_LONGEST_S * 1000}")
                ground = await connection.fetchval(_SQL["ground"], level)
                window = await connection.fetchrow(_SQL["window"], level, period, ground)
                if window is None:
                    await connection.execute(_SQL["caught_up"], level, period, ground)
                    return False
                start, stop = window
                if level == "5m":
                    await connection.execute(_SQL["roll_samples"], start, stop, list(METRICS), timeout=_LONGEST_S)
                else:
                    below = "5m" if level == "1h" else "1h"
                    await connection.execute(_SQL["roll_up"], start, stop, level, below, timeout=_LONGEST_S)
                await connection.execute(_SQL["done"], level, stop)
                return True
        except Exception as error:
            raise translate(error) from error
