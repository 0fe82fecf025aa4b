"""How workers did, read from what is stored anyway: nothing is counted while tasks run."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from coordinator.domain.health import MEMORY_S, Evidence
from coordinator.storage.queries import load

SQL = load("health")


async def evidence(connection: Any, workers: Collection[str], now: datetime) -> dict[str, Evidence]:
    """The evidence for and against each of *workers*, as of *now*; *connection* is asyncpg's, pooled or not."""
    since = now - timedelta(seconds=MEMORY_S)
    failed = await connection.fetch(SQL["failed"], list(workers), since)
    if not failed:
        return {worker: Evidence() for worker in workers}
    finished = await connection.fetch(SQL["finished"], list(workers), since)
    judged = {row["worker_id"]: row["at"] for row in finished if row["event"] == "worker.quarantined"}

    def ages(rows: list[Any], worker: str) -> list[float]:
        after = judged.get(worker, since)
        mine = [row["at"] for row in rows if row["worker_id"] == worker and row["at"] > after]
        return [(now - at).total_seconds() for at in mine]

    done = [row for row in finished if row["event"] == "task.completed"]
    return {worker: Evidence(ages(failed, worker), ages(done, worker)) for worker in workers}
