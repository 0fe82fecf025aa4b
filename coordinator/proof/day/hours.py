"""The day itself: hour after hour of jobs and heartbeats, each job as fast as the farm takes it.

Jobs begin evenly through an hour of a given length: what is made by time (samples, statistics) is then as much in each.
An hour of the farm counts as a day for its retention: at the end of each, when all is done, the farm's clock is put
forward by a day. Whoever was heard before that counts as heard since. So what is kept for a day, the shortest there
is, goes after an hour or two, long before half time.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
import asyncpg

from coordinator.local.farm import LocalFarm
from coordinator.proof.day.sizes import AT_WORK, Look, Scales, sums
from coordinator.proof.day.workers import KIND, Fleet
from coordinator.storage.store import LOCK
from schemas import topology
from schemas.job import JobSpec

#: Tasks of a job, at most; jobs that are under way at once.
JOB: Final = 400
AT_ONCE: Final = 2
#: The share of the tasks that real agents have.
REAL: Final = 0.6
#: No more heartbeats while so many wait.
WAITING: Final = 2000
_LOOK_S: Final = 0.1
#: What the day's own heartbeats take when the hour's are said and its jobs are not done.
_CALM_S: Final = 0.02
_STUCK_S: Final = 120.0

# What should have gone: everything is kept for a day, and what it was about for another one.
_OLD: Final = """
SELECT EXISTS (SELECT FROM jobs WHERE finished_at < farm_now() - interval '3 days')
    OR EXISTS (SELECT FROM archives WHERE archived_at < farm_now() - interval '3 days')
    OR EXISTS (SELECT FROM history WHERE at < farm_now() - interval '4 days')
    OR EXISTS (SELECT FROM logs WHERE day < (farm_now() - interval '3 days')::date)
    OR EXISTS (SELECT FROM samples WHERE at < farm_now() - interval '3 days')
    OR EXISTS (SELECT FROM figures WHERE at < farm_now() - interval '5 days')
"""
_FINISHED: Final = "SELECT finished_at IS NOT NULL FROM jobs WHERE id = $1"
# Whoever is about to write that somebody was heard waits, and then reads the new time.
_NEXT_DAY: Final = """
LOCK TABLE worker_liveness, coordinators IN EXCLUSIVE MODE;
CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS
    $$SELECT clock_timestamp() + interval '{days} days'$$;
UPDATE worker_liveness SET last_seen_at = last_seen_at + interval '1 day';
UPDATE coordinators SET seen_at = seen_at + interval '1 day', listening_since = listening_since + interval '1 day',
                        events_at = events_at + interval '1 day', heartbeats_at = heartbeats_at + interval '1 day';
"""


@dataclass(frozen=True)
class Day:
    """How much of it; an hour takes `hour_s` seconds, or longer on a machine that does less."""

    hours: int = 24
    hour_s: float = 60.0
    tasks: int = 200_000
    beats: int = 1_000_000
    workers: int = 100


@dataclass
class Done:
    """What has been done so far."""

    tasks: int = 0
    hour: float = 0.0


class Hours:
    """Pushes *day* through *farm*."""

    def __init__(
        self,
        day: Day,
        farm: LocalFarm,
        fleet: Fleet,
        connection: asyncpg.Connection,
        at_rest: Callable[[int], Awaitable[None]],
    ) -> None:
        """*at_rest* is called at the end of each hour, with its number."""
        self.done = Done()
        self._at_rest = at_rest
        self._day = day
        self._farm = farm
        self._fleet = fleet
        self._connection = connection
        self._room = asyncio.Event()
        self._depths: dict[str, int] = {}

    async def run(self) -> None:
        """All of it."""
        day = self._day
        async with self._watching():
            tasks, beats = day.tasks // day.hours, day.beats // day.hours
            portions = max(1, round(tasks / JOB))
            gate = asyncio.Semaphore(AT_ONCE)
            for hour in range(day.hours):
                began = time.monotonic()
                async with asyncio.TaskGroup() as group:
                    for number in range(portions):
                        await gate.acquire()
                        await asyncio.sleep(began + day.hour_s * number / portions - time.monotonic())
                        portion = self._portion(tasks // portions, beats // portions, hour + number / portions)
                        group.create_task(portion).add_done_callback(lambda _: gate.release())
                await self._until(self._drained, "messages wait")
                await self._at_rest(hour + 1)
                async with self._connection.transaction():
                    await self._connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
                    await self._connection.execute(_NEXT_DAY.format(days=hour + 1))
                self.done.hour = hour + 1
            await self._until(self._tidy, "what is old is not gone")

    async def _portion(self, tasks: int, beats: int, hour: float) -> None:
        """One job, and its share of the heartbeats."""
        echoes = round(tasks * REAL)
        parts: list[dict[str, Any]] = [
            _part("frame", KIND, tasks - echoes - 1),
            _part("echo", "echo", echoes),
            _part("last", KIND, 1) | {"after": ["frame", "echo"]},
        ]
        self.done.hour = max(self.done.hour, hour)
        async with self._farm.client() as client:
            job = (await client.submit(JobSpec.model_validate({"name": "shot", "tasks": parts}))).job
        for _ in range(beats):
            await self._room.wait()
            await self._fleet.beat()
            await asyncio.sleep(0)

        async def finished() -> bool:
            await self._fleet.beat()
            return bool(await self._asked(_FINISHED, job))

        await self._until(finished, f"job {job} is not done", every_s=_CALM_S)
        self.done.tasks += tasks

    async def _asked(self, question: str, *words: Any) -> Any:
        async with self._asking:
            return await self._connection.fetchval(question, *words)

    async def _drained(self) -> bool:
        return not any(self._depths.values())

    async def _tidy(self) -> bool:
        return not await self._asked(_OLD)

    async def _until(self, done: Callable[[], Awaitable[bool]], what: str, *, every_s: float = _LOOK_S) -> None:
        over = time.monotonic() + _STUCK_S
        while not await done():
            if time.monotonic() > over:
                raise SystemExit(f"{what} after {_STUCK_S:.0f} s; in the queues: {self._depths}")
            await asyncio.sleep(every_s)

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[None]:
        """See how many messages wait, all the while."""
        self._asking = asyncio.Lock()
        async with await aio_pika.connect(self._farm.services.amqp_url, heartbeat=600) as broker:
            channel = await broker.channel()

            async def watch() -> None:
                while True:
                    for queue in topology.QUEUES:
                        there = await channel.declare_queue(queue.name, passive=True)
                        self._depths[queue.name] = there.declaration_result.message_count or 0
                    if self._depths[topology.HEARTBEATS_QUEUE] < WAITING:
                        self._room.set()
                    else:
                        self._room.clear()
                    await asyncio.sleep(_LOOK_S)

            watching = asyncio.create_task(watch())
            try:
                yield
            finally:
                watching.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await watching


async def weigh(scales: Scales, hours: Hours, fleet: Fleet, looks: list[tuple[float, Look]], every_s: float) -> None:
    """For ever: a look, and a line that says how far the day is."""
    began = time.monotonic()
    while True:
        look = await scales.look()
        looks.append((hours.done.hour, look))
        of = sums(look)
        memory = ", ".join(f"{name.removeprefix(f'{AT_WORK} ')} {size / 2**20:.0f}" for name, size in of.items()
                           if name.startswith(f"{AT_WORK} "))  # fmt: skip
        print(
            f"{time.monotonic() - began:5.0f} s  hour {hours.done.hour:4.1f}  {hours.done.tasks:7,} tasks  "
            f"{fleet.beats:9,} heartbeats  tables {of['table'] / 2**20:.0f}, indexes {of['index'] / 2**20:.0f}; "
            f"memory {memory} MB",
            flush=True,
        )
        await asyncio.sleep(every_s)


def _part(name: str, kind: str, count: int) -> dict[str, Any]:
    command = {"name": "echo", "parameters": {"message": "frame {{index}}"}}
    return {"name": name, "kind": kind, "commands": [command], "array": {"count": count}}
