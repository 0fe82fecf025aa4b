"""`make bench`, fifth part: what ClearML's clients ask of a day of a hundred agents, over HTTP.

Agents register and report through the gateway. Of the day before, a sample of each every 30 s is put beside theirs,
with what an agent measures of a machine with two cards, and the coordinator rolls it up as it does on any farm. Then
charts and the count are asked for, again and again; each answer is compared, figure by figure, with what Postgres makes
of the samples alone, in the intervals that the answer's dates show. It fails when they differ, or when the median of an
answer's time is over 200 ms.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple

import asyncpg
import httpx
import psutil
import uvloop

from coordinator.gateways.clearml import translate
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.judged import cpu_s, judged
from coordinator.storage.rolling import LOCK

AGENTS: Final = 100
EVERY_S: Final = 30
#: Milliseconds that an answer may take.
NEEDED: Final = 200.0
HOUR_S: Final = 3600
_LONG_S: Final = 1800
_WAYS: Final = ("avg", "min", "max")
_MACHINE: Final = {
    "cpu_usage": [12.5], "memory_used": 9000, "memory_free": 23000, "network_tx": 0.5, "network_rx": 0.25,
    "disk_read": 0.0, "disk_write": 1.5, "disk_free_home": 40, "gpu_usage": [90, 80], "gpu_temperature": [70, 65],
    "gpu_memory_used": [20000, 10000], "gpu_memory_free": [4000, 14000],
}  # fmt: skip
#: A day's samples in the order in which they come. $1: workers, $2: until when, $3: hours, $4: seconds between two.
_DAY: Final = """
    INSERT INTO samples (at, worker_id, held, cpu, cores, gpu, extra)
    SELECT $2::timestamptz - make_interval(secs => n * $4::float8 + 7 * random()), w,
           ((n / 40 + ord) % 3 = 0 AND n % 7 > 0)::integer, c, ARRAY[c], ARRAY[g, g / 2],
           jsonb_build_object('clearml.cpu_usage', ARRAY[c], 'clearml.memory_used', ARRAY[m],
               'clearml.memory_free', ARRAY[32000 - m], 'clearml.network_tx', ARRAY[c / 100],
               'clearml.network_rx', ARRAY[c / 50], 'clearml.disk_read', ARRAY[0], 'clearml.disk_write', ARRAY[g / 10],
               'clearml.disk_free_home', ARRAY[40], 'clearml.gpu_usage', ARRAY[g, g / 2],
               'clearml.gpu_temperature', ARRAY[40 + g / 3, 40 + g / 4],
               'clearml.gpu_memory_used', ARRAY[g * 100, g * 50],
               'clearml.gpu_memory_free', ARRAY[24000 - g * 100, 24000 - g * 50])
      FROM unnest($1::text[]) WITH ORDINALITY AS u(w, ord), generate_series(1, $3::integer * 3600 / $4::integer) AS n,
           LATERAL (SELECT round((random() * 100 * (1 - (n / 200 + ord) % 2))::numeric, 1)::real AS c,
                           round((random() * 100 + 0 * n)::numeric, 1)::real AS g,
                           floor(random() * 32000 + 0 * n)::real AS m) AS figures
     ORDER BY n DESC
"""
_RAW_ACTIVITY: Final = """
    SELECT extract(epoch FROM date_bin($3, at, 'epoch'))::bigint * 1000 AS at, count(DISTINCT worker_id) AS total,
           count(DISTINCT worker_id) FILTER (WHERE held > 0) AS active
      FROM samples WHERE at >= $1 AND at < $2 GROUP BY 1
"""
_RAW_STATS: Final = """
    SELECT worker_id, extract(epoch FROM date_bin($3, at, 'epoch'))::bigint * 1000 AS at, avg(v::float8) AS avg,
           min(v::float8) AS min, max(v::float8) AS max
      FROM samples, jsonb_array_elements_text(extra -> $4) AS e(v)
     WHERE at >= $1 AND at < $2 AND worker_id = ANY($5) GROUP BY 1, 2
"""


class Asked(NamedTuple):
    """A question: an operation, and its fields."""

    operation: str
    said: Mapping[str, Any]


class Client:
    """One of ClearML's clients."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def login(self, keys: tuple[str, str]) -> None:
        """Get a token."""
        answer = await self._http.get("/auth.login", auth=keys)
        self._http.headers["Authorization"] = f"Bearer {answer.json()['data']['token']}"

    async def ask(self, operation: str, **said: Any) -> bytes:
        """The answer as it comes. Raises SystemExit when it is a fault."""
        answer = await self._http.post(f"/workers.{operation}", json=said)
        if answer.is_error:
            raise SystemExit(answer.text)
        return answer.content


def agent(number: int) -> str:
    """What it is called."""
    return f"gpu-{number:03}:0"


async def fill(client: Client, connection: asyncpg.Connection, hours: int) -> None:
    """Agents, and what is known of the time before; until all of it is rolled up."""
    for number in range(AGENTS):
        await client.ask("register", worker=agent(number), timeout=86400)
        now = int(time.time() * 1000)
        await client.ask("status_report", worker=agent(number), timestamp=now, machine_stats=_MACHINE)
    until = datetime.now(UTC) - timedelta(minutes=2)
    names = [translate.name_of(agent(number)) for number in range(AGENTS)]
    async with connection.transaction():
        # What the farm has passed by already is done again.
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        await connection.execute(_DAY, names, until, hours, EVERY_S, timeout=_LONG_S)
        await connection.execute("UPDATE rollup_levels SET done_until = 'epoch'")
    await connection.execute("ANALYZE samples", timeout=_LONG_S)
    began = time.perf_counter()
    async with asyncio.timeout(_LONG_S):
        while not await connection.fetchval(
            "SELECT min(done_until) > $1::timestamptz - interval '1 day' AND bool_and(level = '1d' OR"
            " done_until > $1 - interval '70 minutes') FROM rollup_levels", until
        ):  # fmt: skip
            await asyncio.sleep(1)
    await connection.execute("ANALYZE figures", timeout=_LONG_S)
    print(f"the coordinator has rolled it up in {time.perf_counter() - began:.0f} s", flush=True)


def questions(end: int, hours: int) -> dict[str, Asked]:
    """What is asked of the time before *end*."""

    def span(length: int, interval: int) -> dict[str, int]:
        until = end // interval * interval
        return {"from_date": until - length * HOUR_S, "to_date": until, "interval": interval}

    def stats(length: int, interval: int, keys: Sequence[str], ways: Sequence[str] = ("avg",), **more: Any) -> Asked:
        items = [{"key": key, "aggregation": way} for key in keys for way in ways]
        return Asked("get_stats", {**span(length, interval), "items": items, **more})

    one, every = ["cpu_usage"], list(_MACHINE)
    return {
        "count": Asked("get_count", {"last_seen": 3600}),
        "activity, a day of 5 minutes": Asked("get_activity_report", span(hours, 300)),
        "activity, a day of 12 minutes": Asked("get_activity_report", span(hours, 720)),
        "activity, a day of 40 s": Asked("get_activity_report", span(hours, 40)),
        "activity, an hour of 40 s": Asked("get_activity_report", span(1, 40)),
        "one metric, a day of 5 minutes": stats(hours, 300, one),
        "the same, avg, min and max": stats(hours, 300, one, _WAYS),
        "one metric, a day of 12 minutes": stats(hours, 720, one),
        "one metric, an hour of 40 s": stats(1, 40, one),
        "one metric of ten, a day of 5 minutes": stats(hours, 300, one, worker_ids=[agent(n) for n in range(10)]),
        "twelve metrics of one, a day of 5 minutes": stats(hours, 300, every, _WAYS, worker_ids=[agent(7)]),
        "twelve metrics, avg, min, max, a day of hours": stats(hours, 3600, every, _WAYS),
        "the same, of 5 minutes": stats(hours, 300, every, _WAYS),
    }


async def differences(connection: asyncpg.Connection, asked: Asked, answer: bytes) -> tuple[int, list[str]]:
    """The interval that an answer's dates show, in seconds, and where it is not what Postgres makes of the samples."""
    data = json.loads(answer)["data"]
    if asked.operation == "get_count":
        return 0, [] if data == {"count": AGENTS} else [f"{data}"]
    if asked.operation == "get_activity_report":
        dates = data["total"]["dates"]
        found = dict(zip(dates, zip(data["total"]["counts"], data["active"]["counts"], strict=True), strict=True))
        rows = await _raw(connection, _RAW_ACTIVITY, dates)
        plain = {row["at"]: (row["total"], row["active"]) for row in rows}
        return _step(dates), [f"{at}: {found[at]}" for at in dates if found[at] != plain.get(at, (0, 0))]
    dates = data["workers"][0]["metrics"][0]["dates"]
    wrong: list[str] = []
    for key in {item["key"] for item in asked.said["items"]}:
        workers = [translate.name_of(one) for one in asked.said.get("worker_ids") or map(agent, range(AGENTS))]
        rows = await _raw(connection, _RAW_STATS, dates, f"clearml.{key}", workers)
        wrong += _differing(key, data["workers"], rows)
    return _step(dates), wrong


def _differing(key: str, workers: Sequence[Mapping[str, Any]], rows: Sequence[asyncpg.Record]) -> list[str]:
    """Where one metric is not what it should be: each worker, interval and aggregation."""
    plain = {(row["worker_id"], row["at"]): row for row in rows}
    told, wrong = set(), []
    for one in workers:
        (metric,) = (metric for metric in one["metrics"] if metric["metric"] == key)
        for stat in metric["stats"]:
            for at, value in zip(metric["dates"], stat["values"], strict=True):
                place = translate.name_of(one["worker"]), at
                told.add(place)
                should = plain[place][stat["aggregation"]] if place in plain else None
                if should is None or abs(value - should) > 1e-5 * max(1.0, abs(should)):
                    wrong.append(f"{key} {stat['aggregation']} of {place}: {value}, not {should}")
    return wrong + [f"{key} of {place} is missing" for place in plain.keys() - told]


async def _raw(connection: asyncpg.Connection, sql: str, dates: Sequence[int], *more: Any) -> list[asyncpg.Record]:
    step = _step(dates)
    since, until = (datetime.fromtimestamp(at / 1000, UTC) for at in (dates[0], dates[-1] + step * 1000))
    rows: list[asyncpg.Record] = await connection.fetch(
        sql, since, until, timedelta(seconds=step), *more, timeout=_LONG_S
    )
    return rows


def _step(dates: Sequence[int]) -> int:
    return min(two - one for one, two in pairwise(dates)) // 1000


class Clocks:
    """Milliseconds of CPU of a coordinator, and of those in Postgres that work for others."""

    def __init__(self, coordinator: psutil.Process, connection: asyncpg.Connection) -> None:
        self._coordinator, self._connection = coordinator, connection
        self.ours = self.theirs = 0.0

    async def start(self) -> None:
        """Count from now on."""
        sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        self._pids = [row["pid"] for row in await self._connection.fetch(sql)]
        self._before = self._read()

    def stop(self) -> None:
        """What it was; of those that have ended since, nothing is known."""
        ours, theirs = self._read()
        self.ours += ours - self._before[0]
        self.theirs += sum(cost - self._before[1].get(pid, cost) for pid, cost in theirs.items())

    def _read(self) -> tuple[float, dict[int, float]]:
        theirs = {}
        for pid in self._pids:
            with contextlib.suppress(psutil.NoSuchProcess):
                theirs[pid] = cpu_s(psutil.Process(pid)) * 1000
        return cpu_s(self._coordinator) * 1000, theirs


async def ask_all(
    client: Client, connection: asyncpg.Connection, coordinator: psutil.Process, asked: Mapping[str, Asked], rounds: int
) -> bool:
    """Ask each question so many times, compare and print; whether all answers are right and quick."""
    samples, enough = await connection.fetchval("SELECT count(*) FROM samples"), True
    print(f"{AGENTS} agents, {samples:,} samples, {os.cpu_count()} cores at a load of {os.getloadavg()[0]:.1f}, "
          f"Python {platform.python_version()}", flush=True)  # fmt: skip
    for name, one in asked.items():
        took, clocks, answer = [], Clocks(coordinator, connection), b""
        for _ in range(rounds):
            await clocks.start()
            began = time.perf_counter()
            answer = await client.ask(one.operation, **one.said)
            took.append((time.perf_counter() - began) * 1000)
            clocks.stop()
        step, wrong = await differences(connection, one, answer)
        median = statistics.median(took)
        shown = f"answered by {step:4} s" if step else ""
        cpu = f"{clocks.ours / rounds:4.0f} ms of the coordinator, {clocks.theirs / rounds:4.0f} of Postgres"
        print(f"{name:46} {median:5.0f} ms; CPU: {cpu}; {len(answer) / 1024:5.0f} KiB {shown}", flush=True)
        if wrong:
            print(f"  not what the samples say in {len(wrong)} places: {wrong[:3]}", flush=True)
        enough = enough and not wrong and median <= NEEDED
    return enough


async def measure(farm: LocalFarm, rounds: int, hours: int) -> bool:
    """Fill, ask and compare; whether all answers are right and quick."""
    async with farm.client() as owner:
        keys = (await owner.create_credential("clearml", "bench")).shown
    (coordinator,) = (psutil.Process(part.pid) for part in farm.coordinators.values())
    connection = await asyncpg.connect(farm.services.database_url)
    async with httpx.AsyncClient(base_url=farm.url, timeout=120, trust_env=False) as http:
        client = Client(http)
        await client.login((keys["access_key"], keys["secret_key"]))
        await fill(client, connection, hours)
        asked = questions(int(time.time()) - 300, hours)
        enough = await ask_all(client, connection, coordinator, asked, rounds)
    await connection.close()
    return enough


async def main(rounds: int, hours: int) -> None:
    """Measure on a farm of its own."""
    plan = Plan(agents=0, settings={"FARMHAND_GATEWAYS": "clearml", "FARMHAND_LOG_LEVEL": "warning"})
    await judged(plan, lambda farm: measure(farm, rounds, hours), f"an answer is wrong, or takes over {NEEDED:.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--hours", type=int, default=24)
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(options.rounds, options.hours))
