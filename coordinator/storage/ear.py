"""What needs no lock: heartbeats, log chunks, and the coordinator's own row."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, Final

import asyncpg

from coordinator.domain.attempt import Attempt
from coordinator.domain.lease import margin_s
from coordinator.domain.worker import Worker
from coordinator.operations.store import Beat, Heard, LogChunk
from coordinator.operations.wanted import Key
from coordinator.storage import rows
from coordinator.storage.pool import SESSION, STUCK_S, lent, translate
from coordinator.storage.queries import load
from coordinator.storage.rows import as_json

BEATS: Final = load("beats")
LOAD: Final = load("load")
RECURRING: Final = load("recurring")
#: Bytes of log that one attempt may have.
MOST_LOG_BYTES: Final = 16 * 1024 * 1024
PARTITIONS_AHEAD: Final = 3


class PostgresEar:
    """Lock-free writes. Every method raises `StoreUnavailableError` when the database is away."""

    def __init__(self, pool: asyncpg.Pool, *, sample_s: float = 10.0) -> None:
        """*sample_s*: seconds between the heartbeats of a worker that become samples, about."""
        self._pool = pool
        # Agents vary their interval by a tenth: every second heartbeat of 5 s should be one after 10 s.
        self._sample = timedelta(seconds=sample_s * 0.85)
        self._exclusive: dict[int, bool] = {}

    async def _fetch(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        try:
            async with lent(self._pool) as connection:
                return await connection.fetch(sql, *arguments)
        except Exception as error:
            raise translate(error) from error

    async def beat(self, beats: Sequence[Beat]) -> dict[str, tuple[Worker, dict[Key, Attempt]]]:
        """Write *beats*; the senders that are known, as the rows have them, with what they hold."""
        await self._fetch(
            BEATS["beat"],
            [beat.worker for beat in beats],
            [beat.epoch for beat in beats],
            [beat.seq for beat in beats],
            [as_json(beat.stats) for beat in beats],
            [beat.open_sessions for beat in beats],
            [beat.inactive_s for beat in beats],
            self._sample,
        )
        names = [beat.worker for beat in beats]
        known: dict[str, tuple[Worker, dict[Key, Attempt]]] = {
            row["id"]: (rows.worker(row), {}) for row in await self._fetch(LOAD["workers"], names)
        }
        for row in await self._fetch(LOAD["held_attempts"], names):
            one = rows.attempt(row)
            if one.worker_id in known:
                known[one.worker_id][1][one.task_id, one.attempt] = one
        return known

    async def exclusive(self, classes: Collection[int]) -> set[int]:
        """Those of *classes* whose tasks are exclusive. Classes never change: each is looked up once."""
        missing = [number for number in classes if number not in self._exclusive]
        if missing:
            for row in await self._fetch(LOAD["classes"], missing):
                self._exclusive[row["id"]] = bool(row["exclusive"])
        return {number for number in classes if self._exclusive[number]}

    async def renew(self, held: Sequence[tuple[str, int, int]], lease_s: float) -> list[tuple[str, int, int]]:
        """Let the leases of these attempts (worker, task, attempt) run *lease_s* from now; those that may."""
        workers, tasks, attempts = zip(*held, strict=True)
        renewed = await self._fetch(
            BEATS["renew"], list(workers), list(tasks), list(attempts), lease_s, margin_s(lease_s)
        )
        return [(row["worker_id"], row["task_id"], row["attempt"]) for row in renewed]

    async def log(self, chunks: Sequence[tuple[str, LogChunk]]) -> None:
        """Store chunks (worker, chunk) of attempts that are their sender's; each is stored once."""
        await self._fetch(
            BEATS["logs"],
            [worker for worker, _ in chunks],
            [chunk.task for _, chunk in chunks],
            [chunk.attempt for _, chunk in chunks],
            [chunk.chunk for _, chunk in chunks],
            [chunk.text for _, chunk in chunks],
            MOST_LOG_BYTES,
        )

    async def add_to_log(self, worker: str, task: int, attempt: int, pieces: Sequence[str]) -> None:
        """Add *pieces* to the end of the log of an attempt that is *worker*'s; of another's nothing is kept."""
        try:
            async with lent(self._pool) as connection, connection.transaction():
                await connection.fetchval(BEATS["log_lock"], str(task), attempt)
                for piece in pieces:
                    await connection.execute(BEATS["log_next"], task, attempt, worker, piece, MOST_LOG_BYTES)
        except Exception as error:
            raise translate(error) from error

    async def here(self, coordinator: str, software: str, connection: str) -> None:
        """This coordinator starts, and consumes on this connection."""
        await self._fetch(BEATS["coordinator_here"], coordinator, software, connection)

    async def alive(self, coordinator: str, software: str, heard: Heard) -> None:
        """This coordinator is there, and heard this since it last said so."""
        await self._fetch(
            BEATS["coordinator_alive"], coordinator, software, heard.connection, heard.events, heard.heartbeats,
            heard.interrupted, heard.broker, heard.blocked,
        )  # fmt: skip

    async def gone(self, coordinator: str) -> None:
        """This coordinator stops."""
        await self._fetch(BEATS["coordinator_gone"], coordinator)

    async def end_stuck(self) -> list[int]:
        """End the sessions of coordinators that were stopped in the middle of a statement; for how many seconds each
        had been silent."""
        found = await self._fetch(BEATS["end_stuck_sessions"], SESSION["application_name"], STUCK_S)
        return [row["silent_s"] for row in found if row["ended"]]

    async def unfinished_work(self) -> list[tuple[int, bool]]:
        """Large jobs half grown or half canceled: (job, whether it grows)."""
        return [(row["id"], row["growing"]) for row in await self._fetch(LOAD["unfinished_work"])]

    async def schedules_due(self) -> list[str]:
        """The schedules of which an instant is due."""
        return [row["name"] for row in await self._fetch(RECURRING["schedules_due"])]

    async def partition_logs(self, retention_days: int) -> None:
        """Have partitions for the days to come, and drop those of more than *retention_days* ago."""
        await self._fetch(BEATS["keep_log_partitions"], PARTITIONS_AHEAD, retention_days)
