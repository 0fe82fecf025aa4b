"""The activity report, the stats and the counts agree with a plain recomputation from the raw reports.

Agents report, take tasks, end them and go as they like, in time moved by hand. What the gateway then answers, before
anything is rolled up and after, is compared with what going through the list of reports gives.
"""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from coordinator.gateways.clearml import GATEWAY, translate
from coordinator.gateways.clearml.door import mint
from coordinator.gateways.kit import application
from coordinator.operations.access import CreateToken
from coordinator.operations.requests import SubmitJob
from coordinator.storage.pool import open_pool
from coordinator.storage.rolling import Kept, Roller
from coordinator.storage.statistics import Statistics
from schemas.job import JobSpec
from schemas.roles import Role
from tests.gateways.test_a_day import a_gate
from tests.simulation.world import World, a_world
from tests.support.chance import examples

MORNING = datetime(2026, 3, 27, 6, tzinfo=UTC)
APART = timedelta(hours=12)
#: Nobody is lost within a test.
TIMEOUT_S = 30 * 86400
QUEUE = translate.queue_id("charts")


class Turn(NamedTuple):
    """What an agent does, so many seconds after the turn before."""

    worker: int
    after_s: int
    what: str
    cores: list[int]
    memory: int | None


class Raw(NamedTuple):
    """A report as it came, or a call about a task, which says that its agent is there; whether a task was held then."""

    at: float
    worker: str
    cores: Sequence[int]
    memory: int | None
    held: bool


class Past:
    """All that was sent, and what it comes to: by going through the list."""

    def __init__(self) -> None:
        self.reports: list[Raw] = []
        self.deeds: list[tuple[float, str]] = []
        self.heard: dict[str, float] = {}

    def activity(self, since: float, until: float, interval: int) -> dict[str, dict[str, list[int]]]:
        """Complete intervals. Who held a task when it reported was active; who began or ended one, too, if it
        reported within the same five minutes (the same interval, where five minutes do not fit into it)."""
        stretch = 300 if interval % 300 == 0 else interval
        worked = {(worker, at // stretch) for at, worker in self.deeds}
        starts = range(int(since // interval) * interval, int(until // interval) * interval, interval)
        total: list[int] = []
        active: list[int] = []
        for start in starts:
            here = [one for one in self.reports if start <= one.at < start + interval]
            total.append(len({one.worker for one in here}))
            busy = {one.worker for one in here if one.held or (one.worker, one.at // stretch) in worked}
            active.append(len(busy))
        dates = [start * 1000 for start in starts]
        return {"total": {"dates": dates, "counts": total}, "active": {"dates": dates, "counts": active}}

    def stats(self, since: float, until: float, interval: int, *, split: bool) -> dict[Any, dict[int, list[float]]]:
        """(worker, metric, variant) -> the start of an interval -> the values in it."""
        first = since // interval * interval
        last = until // interval * interval + (
            interval if until % interval or since // interval == until // interval else 0
        )
        found: dict[Any, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for one in self.reports:
            if not first <= one.at < last:
                continue
            start = int(one.at // interval) * interval * 1000
            for variant, value in enumerate(one.cores):
                found[one.worker, "cpu_usage", str(variant) if split else None][start].append(value)
            if one.memory is not None:
                found[one.worker, "memory_used", "total" if split else None][start].append(one.memory)
        return found


class Stage:
    """A farm in its own time, with this one gateway."""

    def __init__(self, world: World, pool: Any) -> None:
        self.world = world
        self.roller = Roller(pool, Kept())
        gate = a_gate(world, pool)
        gate.farm.figures = Statistics(pool)  # type: ignore[misc]
        app = httpx.ASGITransport(application(GATEWAY, gate, "1"))
        self.http = httpx.AsyncClient(transport=app, base_url="http://farm")
        self.keys = ("", "")
        self.scenes = 0

    async def open(self) -> None:
        """A credential, and more tasks than are ever taken."""
        made = mint("training")
        token = ("training", Role.AGENT, made.prefix, made.digest, None, "tester")
        self.keys = made.shown["access_key"], made.shown["secret_key"]
        task = {"name": "t", "kind": "clearml", "queue": "charts", "array": {"count": 5000},
                "commands": [{"name": "clearml"}]}  # fmt: skip
        spec = JobSpec.model_validate({"name": "j", "tasks": [task], "accept_unknown_kinds": True})
        self.world.at(self.world.now, lambda: self.world.ask(CreateToken(*token, gateway="clearml")))
        self.world.at(self.world.now, lambda: self.world.ask(SubmitJob(spec, "ana")))
        await self.world.run(self.world.now + timedelta(seconds=1))

    async def login(self) -> dict[str, str]:
        """What an agent shows from then on."""
        answer = await self.http.get("/auth.login", auth=self.keys)
        return {"Authorization": f"Bearer {answer.json()['data']['token']}"}

    async def call(self, headers: dict[str, str], endpoint: str, **said: Any) -> Any:
        """A call that succeeds."""
        answer = await self.http.post(f"/{endpoint}", json=said, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    @property
    def now(self) -> float:
        """The farm's time."""
        return self.world.now.timestamp()


class Agent:
    """One agent, and the task that it has."""

    def __init__(self, stage: Stage, past: Past, name: str, tag: str) -> None:
        self.stage, self.past, self.name, self.tag = stage, past, name, tag
        self.headers: dict[str, str] = {}
        self.task: str | None = None

    async def call(self, endpoint: str, **said: Any) -> Any:
        """One call: it lives."""
        self.past.heard[self.name] = self.stage.now
        return await self.stage.call(self.headers, endpoint, **said)

    async def begin(self) -> None:
        """Log in and register."""
        self.headers = await self.stage.login()
        said = {"timeout": TIMEOUT_S, "queues": [QUEUE], "system_tags": [self.tag]}
        await self.call("workers.register", worker=self.name, **said)

    async def take(self, turn: Turn) -> None:
        """Take a turn."""
        now = self.stage.now
        if turn.what == "report":
            stats = {"cpu_usage": turn.cores, "memory_used": turn.memory}
            given = {"task": self.task} if self.task else {}
            await self.call("workers.status_report", worker=self.name, timestamp=int(now), machine_stats=stats, **given)
            self.past.reports.append(Raw(now, self.name, turn.cores, turn.memory, held=self.task is not None))
        elif turn.what == "take" and self.task is None:
            self.task = (await self.call("queues.get_next_task", queue=QUEUE))["entry"]["task"]
            self.past.deeds.append((now, self.name))
        elif turn.what == "finish" and self.task is not None:
            await self.call("tasks.completed", task=self.task)
            self.past.deeds.append((now, self.name))
            self.task = None
            # Of calls that are no reports, one in ten seconds is kept.
            if all(one.at <= now - 10 for one in self.past.reports if one.worker == self.name):
                self.past.reports.append(Raw(now, self.name, [], None, held=True))

    async def leave(self) -> None:
        """Say goodbye."""
        await self.call("workers.unregister", worker=self.name)
        del self.past.heard[self.name]


@pytest.fixture
async def stage(database_url: str) -> AsyncIterator[Stage]:
    """A farm that all examples share, each at its own time."""
    pool = await open_pool(database_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(pool.close)
        world = await stack.enter_async_context(a_world(database_url, MORNING, tick=APART))
        stage = Stage(world, pool)
        stack.push_async_callback(stage.http.aclose)
        await stage.open()
        yield stage


turns = st.builds(
    Turn,
    worker=st.integers(0, 2),
    after_s=st.integers(1, 900),
    what=st.sampled_from(["report", "report", "report", "take", "finish"]),
    cores=st.lists(st.integers(0, 100), max_size=2),
    memory=st.none() | st.integers(0, 64_000),
)


class Asked(NamedTuple):
    """A time and an interval, from the beginning of the scene."""

    since: float
    length: float
    interval: int
    split: bool
    last_seen: int


questions = st.builds(
    Asked,
    since=st.floats(-4000, 4000),
    length=st.floats(1, 14_000),
    interval=st.sampled_from([40, 60, 300, 720, 900, 3600]),
    split=st.booleans(),
    last_seen=st.integers(0, 5000),
)


# To find a smaller example of what fails would take minutes.
@pytest.mark.extensive
@pytest.mark.timeout(900)
@settings(
    max_examples=examples(0.16),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],
    report_multiple_bugs=False,
)
@given(played=st.lists(turns, min_size=5, max_size=25), asked=st.lists(questions, min_size=3, max_size=3))
async def test_figures_agree_with_the_raw_reports(stage: Stage, played: list[Turn], asked: list[Asked]) -> None:
    """ClearML, workers.get_activity_report, get_stats, get_count."""
    world, past = stage.world, Past()
    await world.run(world.now + APART)
    stage.scenes += 1
    tag = f"scene-{stage.scenes}"
    agents = [Agent(stage, past, f"{tag}-{number}", tag) for number in range(3)]
    began = world.now
    for agent in agents:
        world.after(timedelta(), agent.begin)
    for turn in played:
        await world.run(world.now + timedelta(seconds=turn.after_s))
        world.after(timedelta(), lambda turn=turn: agents[turn.worker].take(turn))  # type: ignore[misc]
    await world.run(world.now + timedelta(seconds=1))

    headers = agents[0].headers
    await compare(stage, headers, past, began, asked, tag)
    await stage.roller.roll()
    await compare(stage, headers, past, began, asked, tag)
    await world.run(world.now + timedelta(hours=3))
    await stage.roller.roll()
    await compare(stage, headers, past, began, asked, tag)

    for agent in agents:
        world.after(timedelta(), agent.leave)
    await world.run(world.now + timedelta(seconds=1))
    assert await stage.call(headers, "workers.get_count", system_tags=[tag]) == {"count": 0}


async def compare(
    stage: Stage, headers: dict[str, str], past: Past, began: datetime, asked: Sequence[Asked], tag: str
) -> None:
    """What is answered is what the raw reports say."""
    workers = sorted(past.heard)
    for one in asked:
        since = round(began.timestamp() + one.since, 3)
        until = since + round(one.length, 3)
        span = {"from_date": since, "to_date": until, "interval": one.interval}
        activity = await stage.call(headers, "workers.get_activity_report", **span)
        assert activity == past.activity(since, until, one.interval)

        keys = [
            {"key": key, "aggregation": how} for key in ("cpu_usage", "memory_used") for how in ("avg", "min", "max")
        ]
        said = {**span, "items": keys, "worker_ids": workers, "split_by_variant": one.split}
        found = answered(await stage.call(headers, "workers.get_stats", **said))
        expected = {
            key: {at: summed(values) for at, values in line.items()}
            for key, line in past.stats(since, until, one.interval, split=one.split).items()
        }
        assert found == expected

        count = await stage.call(headers, "workers.get_count", last_seen=one.last_seen, system_tags=[tag])
        silent = [stage.now - at for at in past.heard.values()]
        assert count["count"] == sum(not one.last_seen or silence <= one.last_seen for silence in silent)


def summed(values: Sequence[float]) -> Any:
    """Average, least and greatest."""
    return pytest.approx((sum(values) / len(values), min(values), max(values)), rel=1e-6)


def answered(said: Any) -> dict[Any, dict[int, tuple[float, ...]]]:
    """(worker, metric, variant) -> date -> avg, min, max."""
    found = {}
    for worker in said["workers"]:
        for metric in worker["metrics"]:
            by_way = {one["aggregation"]: one["values"] for one in metric["stats"]}
            figures = zip(by_way["avg"], by_way["min"], by_way["max"], strict=True)
            line = dict(zip(metric["dates"], figures, strict=True))
            found[worker["worker"], metric["metric"], metric.get("variant")] = line
    return found
