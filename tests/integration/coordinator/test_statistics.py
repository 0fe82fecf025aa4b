"""Samples, their roll-ups and the answers made of them, against plain sums over the samples themselves."""

import json
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from coordinator.domain.sketch import exact_percentile
from coordinator.domain.statistics import METRICS, Question, Span, Split, floor
from coordinator.operations.store import Beat
from coordinator.storage.ear import PostgresEar
from coordinator.storage.pool import open_pool
from coordinator.storage.rolling import Kept, Roller
from coordinator.storage.statistics import Statistics
from schemas.views import Series

START = datetime(2026, 3, 1, 22, 58, tzinfo=UTC)


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A farm's database, whose clock is moved by hand."""
    pool = await open_pool(database_url)
    await pool.execute("CREATE TABLE by_hand (at timestamptz NOT NULL)")
    await pool.execute("INSERT INTO by_hand VALUES ($1)", START)
    await pool.execute(
        "CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM by_hand'"
    )
    yield pool
    await pool.close()


async def set_clock(pool: asyncpg.Pool, at: datetime) -> None:
    await pool.execute("UPDATE by_hand SET at = $1", at)


class Sample:
    """What a worker felt at a time."""

    def __init__(self, at: datetime, worker: str, cores: list[float], held: int) -> None:
        self.at, self.worker, self.cores, self.held = at, worker, cores, held
        self.cpu = round(sum(cores) / len(cores), 3)


def some_samples(seed: int, *, workers: int, hours: float, every_s: int = 60) -> list[Sample]:
    """A walk of each worker's load; one has one core, the others two, one is always idle."""
    chance, found = random.Random(seed), []
    for number in range(workers):
        count = round(hours * 3600 / every_s)
        for step in range(count):
            at = START + timedelta(seconds=step * every_s + chance.random() * 5)
            idle = number == 0 or chance.random() < 0.3
            cores = [0.0 if idle else float(round(chance.uniform(0, 100), 1)) for _ in range(1 if number == 1 else 2)]
            found.append(Sample(at, f"node-{number}", cores, 0 if idle else chance.randrange(3)))
    return found


async def put(pool: asyncpg.Pool, samples: Iterable[Sample]) -> None:
    await pool.executemany(
        "INSERT INTO samples (at, worker_id, held, cpu, cores) VALUES ($1, $2, $3, $4, $5)",
        [(one.at, one.worker, one.held, one.cpu, one.cores) for one in samples],
    )


def plain(samples: Iterable[Sample], metric: str, span: Span, *, by_worker: bool) -> dict[Any, list[float]]:
    """The values of each line and interval, by going through all samples."""
    found: dict[Any, list[float]] = defaultdict(list)
    for one in samples:
        if span.since <= one.at < span.until:
            values = {"cpu": [one.cpu], "core": one.cores, "held": [float(one.held)]}[metric]
            found[one.worker if by_worker else None, floor(one.at, span.interval_s)].extend(values)
    return found


def answered(series: Series) -> dict[Any, dict[str, float]]:
    return {
        (line.worker, at): {"count": line.count[index]} | {name: some[index] for name, some in line.values.items()}
        for line in series.lines
        for index, at in enumerate(line.at)
    }


SHARES = [0.0, 0.5, 0.95, 1.0]


async def test_answers_agree_with_sums_over_the_samples_however_much_is_rolled_up(pool: asyncpg.Pool) -> None:
    samples = some_samples(1, workers=3, hours=3)
    await put(pool, samples)
    statistics, roller = Statistics(pool), Roller(pool, Kept())
    for hours in (0.0, 1.5, 4.0):
        await set_clock(pool, START + timedelta(hours=hours))
        await roller.roll()
        for interval_s in (60, 300, 900, 3600, 2 * 3600, 86400):
            span = Span.holding(START + timedelta(minutes=20), START + timedelta(hours=3), interval_s)
            for metric, by_worker in (("cpu", True), ("core", False), ("held", True)):
                split = Split.WORKER if by_worker else Split.FARM
                found = await statistics.series(Question(metric, span, split, (), SHARES))
                agree(answered(found), plain(samples, metric, span, by_worker=by_worker))


def agree(found: dict[Any, dict[str, float]], expected: dict[Any, list[float]]) -> None:
    assert found.keys() == expected.keys()
    for key, values in expected.items():
        got = found[key]
        assert got["count"] == len(values)
        assert (got["min"], got["max"]) == pytest.approx((min(values), max(values)), rel=1e-6)
        assert got["mean"] == pytest.approx(sum(values) / len(values), rel=1e-6)
        for share in SHARES:
            exact = exact_percentile(sorted(values), share)
            assert got[f"p{share * 100:g}"] == pytest.approx(exact, rel=0.0101, abs=0.001), (key, share)


async def test_rolling_up_twice_or_from_the_start_again_gives_the_same_rows(pool: asyncpg.Pool) -> None:
    await put(pool, some_samples(1, workers=2, hours=2))
    roller = Roller(pool, Kept())
    await set_clock(pool, START + timedelta(hours=5))
    assert await roller.roll() > 20
    once = await pool.fetch("SELECT * FROM figures ORDER BY level, metric, split, at, first")
    assert {row["level"] for row in once} == {"5m", "15m", "1h", "1d"}
    assert await roller.roll() == 0
    await pool.execute("UPDATE rollup_levels SET done_until = 'epoch'")
    assert await roller.roll() > 20
    assert await pool.fetch("SELECT * FROM figures ORDER BY level, metric, split, at, first") == once


async def test_two_coordinators_do_not_roll_up_the_same_stretch(pool: asyncpg.Pool) -> None:
    await put(pool, some_samples(1, workers=1, hours=0.2))
    await set_clock(pool, START + timedelta(hours=2))
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock($1)", 0x6661726D73)
        assert await Roller(pool, Kept()).roll() == 0
    assert await Roller(pool, Kept()).roll() > 0


async def test_each_core_has_a_line_of_its_own_where_it_is_asked_for(pool: asyncpg.Pool) -> None:
    samples = some_samples(3, workers=3, hours=2)
    await put(pool, samples)
    await set_clock(pool, START + timedelta(hours=2))
    await Roller(pool, Kept()).roll()
    span = Span.holding(START, START + timedelta(hours=2), 3600)
    found = await Statistics(pool).series(Question("core", span, Split.VARIANT, ["node-1", "node-2"]))
    assert [(line.worker, line.variant) for line in found.lines] == [("node-1", 0), ("node-2", 0), ("node-2", 1)]
    for line in found.lines:
        assert line.variant is not None
        for index, at in enumerate(line.at):
            values = [
                one.cores[line.variant] for one in samples if one.worker == line.worker and floor(one.at, 3600) == at
            ]
            assert line.count[index] == len(values)
            assert line.values["max"][index] == pytest.approx(max(values))
            assert line.values["mean"][index] == pytest.approx(sum(values) / len(values))


async def test_who_is_idle_counts_as_there_and_who_worked_between_two_samples_as_active(pool: asyncpg.Pool) -> None:
    at = floor(START, 300)
    await pool.executemany(
        "INSERT INTO samples (at, worker_id, held) VALUES ($1, $2, $3)",
        [(at, "idle", 0), (at, "busy", 2), (at, "brief", 0), (at + timedelta(minutes=10), "idle", 0)],
    )
    await pool.execute(
        "INSERT INTO history (at, event, job_id, task_id, worker_id) VALUES ($1, 'task.completed', 1, 1, 'brief')",
        at + timedelta(seconds=3),
    )
    span = Span.holding(at, at + timedelta(minutes=20), 300)
    for hours in (0, 1):
        await set_clock(pool, START + timedelta(hours=hours))
        await Roller(pool, Kept()).roll()
        report = await Statistics(pool).activity(span)
        assert (report.total, report.active) == ([3, 0, 1, 0], [2, 0, 0, 0])
    assert await pool.fetchval("SELECT count(*) FROM figures WHERE metric = 'active' AND level = '5m'") == 4


async def a_worker(pool: asyncpg.Pool, name: str) -> None:
    await pool.execute(
        "INSERT INTO workers (id, connection, duty, epoch, instance, kinds, queues, slots) "
        "VALUES ($1, 'online', 'awake', 1, gen_random_uuid(), '{exec}', '{default}', 4)",
        name,
    )
    await pool.execute("INSERT INTO worker_liveness (worker_id, epoch, last_seen_at) VALUES ($1, 1, farm_now())", name)


def a_beat(name: str, seq: int, stats: dict[str, Any] | None = None) -> Beat:
    return Beat(name, 1, seq, stats, 0, None)


async def test_every_tenth_second_of_heartbeats_is_kept_with_figures_or_without(pool: asyncpg.Pool) -> None:
    ear = PostgresEar(pool, sample_s=10)
    await a_worker(pool, "node-1")
    await a_worker(pool, "node-2")
    gpu = {"name": "a", "percent": 7.5, "memory_used": 10, "memory_total": 20}
    stats = {
        "cpu_percent": 50.0, "cores_percent": [40.0, 60.0], "load": [1.0, 2.0, 3.0], "memory_used": 2**33,
        "memory_total": 2**34, "disk_used": 1, "disk_total": 4, "network_received_rate": 1e300,
        "network_sent_rate": 1e-300, "gpus": [gpu], "extra": {"cpu_temperature": [61.5]},
    }  # fmt: skip
    for seq in range(1, 14):
        await set_clock(pool, START + timedelta(seconds=5 * seq))
        await ear.beat([a_beat("node-1", seq, stats), a_beat("node-2", seq), a_beat("nobody", seq)])
    rows = await pool.fetch("SELECT worker_id, array_agg(at ORDER BY at) AS at FROM samples GROUP BY 1 ORDER BY 1")
    expected = [START + timedelta(seconds=5 + 10 * number) for number in range(7)]
    assert [(row["worker_id"], row["at"]) for row in rows] == [("node-1", expected), ("node-2", expected)]

    await set_clock(pool, START + timedelta(hours=1))
    await Roller(pool, Kept()).roll()
    statistics = Statistics(pool)
    span = Span.holding(START, START + timedelta(minutes=2), 120)
    means = {}
    for metric in [*METRICS, "cpu_temperature"]:
        found = await statistics.series(Question(metric, span, Split.WORKER, ["node-1"]))
        means[metric] = found.lines[0].values["mean"][0]
    assert means == {
        "cpu": 50, "core": 50, "memory": 50, "memory_used": 2**33, "memory_total": 2**34, "disk": 25, "disk_used": 1,
        "disk_total": 4, "network_received": pytest.approx(1e30), "network_sent": 0, "load": 1, "load5": 2, "load15": 3,
        "gpu": 7.5, "gpu_memory_used": 10, "gpu_memory_total": 20, "held": 0, "active": 0, "cpu_temperature": 61.5,
    } | {"gpu_temperature": means.get("gpu_temperature")}  # fmt: skip
    assert json.dumps([one.metric for one in await statistics.metrics()]).count("cpu_temperature") == 1


async def test_what_is_old_goes_level_by_level(pool: asyncpg.Pool) -> None:
    await put(pool, some_samples(5, workers=1, hours=1.1))
    roller = Roller(pool, Kept(samples=2, minutes=30, hours=400, days=3650))
    await set_clock(pool, START + timedelta(hours=26))
    await roller.prune()
    await roller.roll()

    async def left() -> set[str]:
        rows = await pool.fetch("SELECT 'raw' AS level FROM samples UNION SELECT level FROM figures")
        return {row["level"] for row in rows}

    assert await left() == {"raw", "5m", "15m", "1h", "1d"}
    for days, there in ((4, {"5m", "15m", "1h", "1d"}), (33, {"1h", "1d"}), (403, {"1d"}), (3660, set())):
        await set_clock(pool, START + timedelta(days=days))
        await roller.prune()
        await roller.roll()
        assert await left() == there
