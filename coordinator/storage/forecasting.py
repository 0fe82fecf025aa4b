"""What forecasts are made of, read from one snapshot of the farm."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Final

from coordinator.domain.forecast import Running
from coordinator.storage import queries
from coordinator.storage.pool import Connection

_SQL: Final = queries.load("forecasting")
#: As many attempts that run are looked at, those that began first.
_MOST_RUNNING: Final = 2000
#: As many tasks of a job, before the one that is asked about, say how long such tasks take.
_LOOKED_AT: Final = 500


class Forecasts:
    """What runs, and how long its like took; each group is looked at once."""

    def __init__(self, connection: Connection, now: datetime) -> None:
        self._connection = connection
        self._now = now
        self._took: dict[int, Sequence[float]] = {}

    async def running_on(self, workers: Collection[str]) -> list[Running]:
        """What runs on *workers*; how long its like took is known from then on."""
        found = await self._connection.fetch(_SQL["running_on"], list(workers), _MOST_RUNNING)
        newest: dict[int, int] = {}
        for row in found:
            newest[row["group_id"]] = max(row["task_id"], newest.get(row["group_id"], 0))
        await self._learn(newest)
        return [
            Running(row["worker_id"], row["class_id"], row["group_id"], (self._now - row["started_at"]).total_seconds())
            for row in found
        ]

    async def took(self, group: int, task: int) -> Sequence[float]:
        """Seconds that accepted attempts of the group's tasks before *task* took."""
        await self._learn({group: task})
        return self._took[group]

    @property
    def known(self) -> dict[int, Sequence[float]]:
        """Group -> seconds, of those that were asked for."""
        return self._took

    async def _learn(self, newest: dict[int, int]) -> None:
        missing = {group: task for group, task in newest.items() if group not in self._took}
        if missing:
            self._took |= dict.fromkeys(missing, ())
            rows = await self._connection.fetch(_SQL["took"], list(missing), list(missing.values()), _LOOKED_AT)
            self._took |= {row["group_id"]: row["seconds"] for row in rows}

    async def earlier(self, group: int, priority: int, task: int) -> int:
        """How many ready tasks of *group* come before *task*, whose priority this is."""
        return int(await self._connection.fetchval(_SQL["earlier"], group, priority, task))
