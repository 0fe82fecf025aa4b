"""`make day`: 200,000 tasks and 1,000,000 heartbeats of a hundred workers through real services.

One coordinator, RabbitMQ and Postgres (private, with fsync), one real agent with 60 % of the tasks and 99 workers by
script, each job's messages as fast as the farm takes them. The farm keeps everything for a day, and each of its 24
hours counts as one (coordinator/proof/day/hours.py). What has grown by more than 10 % from half time to the end fails
the proof.
"""

import argparse
import asyncio
import contextlib
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import asyncpg
import httpx
import uvloop

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.day import sizes
from coordinator.proof.day.hours import Day, Hours, weigh
from coordinator.proof.day.workers import Fleet
from coordinator.storage.invariants import violations

#: Everything is kept for as short a time as can be set.
SETTINGS: Final = {
    "FARMHAND_JOB_RETENTION_DAYS": "1",
    "FARMHAND_ARCHIVE_RETENTION_DAYS": "1",
    "FARMHAND_LOG_RETENTION_DAYS": "1",
    "FARMHAND_SAMPLES_KEPT_DAYS": "1",
    "FARMHAND_MINUTES_KEPT_DAYS": "1",
    "FARMHAND_HOURS_KEPT_DAYS": "2",
    "FARMHAND_DAYS_KEPT_DAYS": "3",
    "FARMHAND_SAMPLE_S": "1",
    "FARMHAND_LOG_LEVEL": "warning",
}
#: The broker, too, keeps its figures for a minute, not for hours, and turns its log of writes round within an hour, and
#: the file of long messages: those in the newest it holds in memory.
BROKER: Final = {
    "management.sample_retention_policies.global.minute": "5",
    "management.sample_retention_policies.basic.minute": "5",
    "management.sample_retention_policies.detailed.10": "5",
    "raft.wal_max_size_bytes": str(4 * 2**20),
    "rabbit.msg_store_file_size_limit": str(2**20),
}
#: The day is some sixty times as fast as one: so often Postgres looks for what to vacuum (its default: 60 s).
NAPTIME_S: Final = 1
_SOUND: Final = (
    ("SELECT count(*) FROM parked", "messages were parked"),
    ("SELECT count(*) FROM workers WHERE epoch > 1", "workers were given up"),
    ("SELECT count(*) FROM jobs WHERE state <> 'completed'", "jobs are not completed"),
)


async def a_day(day: Day, every_s: float) -> tuple[list[sizes.Line], list[str]]:
    """All things at half time and at the end, and what is wrong besides."""
    looks: list[tuple[float, sizes.Look]] = []
    plan = Plan(
        agents=1,
        slots=100,
        settings=SETTINGS,
        agent_settings={"FARMHAND_AGENT_LOG_LEVEL": "warning"},
        broker_settings=BROKER,
    )
    async with contextlib.AsyncExitStack() as stack:
        farm = await stack.enter_async_context(LocalFarm(plan, say=lambda line: print(line, file=sys.stderr)))
        url = farm.services.database_url
        connection, weighing = [await asyncpg.connect(url) for _ in range(2)]
        stack.push_async_callback(connection.close)
        stack.push_async_callback(weighing.close)
        await connection.execute(f"ALTER SYSTEM SET autovacuum_naptime = '{NAPTIME_S}s'")
        await connection.execute("SELECT pg_reload_conf()")
        management = farm.services.management_url or ""
        # A connection each: the broker ends one that was idle for five seconds, perhaps just when it is used again.
        each = httpx.Limits(max_keepalive_connections=0)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=management, timeout=30, trust_env=False, limits=each)
        )
        fleet = await stack.enter_async_context(Fleet(farm.services.amqp_url, day.workers - 1))
        async with asyncio.timeout(60):
            while not fleet.welcomed:
                await asyncio.sleep(0.1)
        scales = sizes.Scales(farm, weighing, http)

        async def at_rest(hour: int) -> None:
            looks.append((hour, await scales.look_at_rest()))

        hours = Hours(day, farm, fleet, connection, at_rest)
        watch = asyncio.create_task(weigh(scales, hours, fleet, looks, every_s))
        pushing = asyncio.create_task(hours.run())
        await asyncio.wait({watch, pushing}, return_when=asyncio.FIRST_COMPLETED)
        for task in (watch, pushing):
            if task.done():
                task.result()
        watch.cancel()
        wrong = [f"{count} {what}" for sql, what in _SOUND if (count := await connection.fetchval(sql))]
        wrong += [str(one) for one in await violations(url)]
    return sizes.lines(looks, day.hours), wrong


def page(day: Day, found: list[sizes.Line], minutes: float) -> str:
    """The report."""
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.machine()}"
    grown = [line for line in found if line.grown]
    return f"""# A day of a farm

Nothing may grow for ever. `make day` pushes a day of a farm of {day.workers} workers ({day.tasks:,} tasks,
{day.beats:,} heartbeats) through one coordinator, RabbitMQ and Postgres (real processes, with fsync): one real agent
has 60 % of the tasks, the others are workers by script that say what agents say. An hour takes {day.hour_s:.0f} s, or
longer where the machine does less: what is made by time is then as much in each. Jobs of some 400 tasks, with logs,
outputs and machine statistics; one attempt in a hundred is interrupted. Everything is kept for a day, the shortest that
can be set, and at the end of each of the {day.hours} hours the farm's clock is put forward by a day; so what is old is
removed by the coordinator's own duties, and all is at its size long before half time. Because the day is so much faster
than one, Postgres looks each second for what to vacuum, and RabbitMQ keeps what its management shows for a minute, not
for hours, begins its log of writes anew at 4 MB (quorum queues hold in memory what is in it) and the file of long
messages at 1 MB (it holds in memory what was written to the newest: with its default, 16 MB, a tide of 20 MB that takes
hours); all else is default.

Compared is the mean of the {sizes.WINDOW_H} hours before half time with that of the last {sizes.WINDOW_H}.
Nothing may have grown by more than {sizes.ALLOWED:.0%} and by more than what is too little to count: 16 pages of a
table or index, 1 MB of memory or of a journal (an agent's data directory), 500 messages. Memory is what the processes
have for themselves at the end of an hour, when its work is done and RabbitMQ has been told to collect its garbage; amid
the work it is shown, not judged, for it goes up and down with the pace. Partitions are counted with their table. The
servers' own logs of writes (WAL) are shown, not judged: their size is a setting.

{today}, {machine}, {minutes:.0f} minutes: {len(found)} things, {len(grown)} grown.

{sizes.table(found)}
"""


def main() -> int:
    """Run the day."""
    parser = argparse.ArgumentParser(prog="python -m coordinator.proof.day", description=__doc__)
    parser.add_argument("--hours", type=int, default=24, help="hours of the day; each counts as a day for retention")
    parser.add_argument(
        "--hour", type=float, default=Day.hour_s, metavar="SECONDS", help="how long one takes, at least"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="the share of an hour's tasks and heartbeats")
    parser.add_argument("--every", type=float, default=5.0, metavar="SECONDS", help="between looks")
    parser.add_argument("--unjudged", action="store_true", help="for short days: sizes are shown, and may grow")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the report there")
    given = parser.parse_args()
    if given.hours < 4 or given.hours % 2:  # noqa: PLR2004 - something before half time, and after
        parser.error("--hours is an even number, at least 4")
    share = given.scale * given.hours / 24
    whole = Day()
    day = Day(given.hours, given.hour * given.scale, round(whole.tasks * share), round(whole.beats * share))
    began = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found, wrong = runner.run(a_day(day, given.every))
    minutes = (time.monotonic() - began) / 60
    print(sizes.table(found))
    for word in wrong:
        print(word)
    if given.write:
        given.write.write_text(page(day, found, minutes), encoding="utf-8")
    grown = [line for line in found if line.grown]
    print(f"{day.tasks:,} tasks, {day.beats:,} heartbeats in {minutes:.1f} minutes: {len(found)} things, "
          f"{len(grown)} grown, {len(wrong)} wrong")  # fmt: skip
    return int(bool(wrong or (grown and not given.unjudged)))


if __name__ == "__main__":
    sys.exit(main())
