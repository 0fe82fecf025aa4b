"""A day of a farm of several protocols, in time moved by hand: what is known of each at each hour, computed by hand."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import httpx

from coordinator.domain.idle import IdleAction, IdlePolicy
from coordinator.gateways import GATEWAYS
from coordinator.gateways.flamenco_v1.pushing import Pusher
from coordinator.gateways.kit import Gate, application
from coordinator.gateways.openwork import GATEWAY as OPENWORK
from coordinator.gateways.openwork.routes import fresh_typeid
from coordinator.gateways.openwork.translate import name_of as openwork_name
from coordinator.gateways.stencila import GATEWAY as STENCILA
from coordinator.gateways.stencila.translate import name_of as hub_name
from coordinator.operations.access import CreateToken
from coordinator.operations.requests import SetIdlePolicy, SubmitJob
from coordinator.storage.ear import PostgresEar
from coordinator.storage.errands import PostgresErrands
from coordinator.storage.holdings import PostgresHoldings
from coordinator.storage.pool import open_pool
from coordinator.storage.tokens import Tokens
from coordinator.storage.watched import PostgresWatched
from schemas.job import JobSpec
from schemas.roles import Role
from tests.gateways.flamenco_v1.scripted import Worker
from tests.gateways.flamenco_v3.client import Polling
from tests.simulation.machine import Deed
from tests.simulation.world import World, a_world

MORNING = datetime(2026, 3, 27, 6, tzinfo=UTC)
MINUTE, BEAT, HOUR = timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)


class Web:
    """Clients of all gateways, whose calls arrive in the world's own time."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world = world
        apps = {gateway.name: application(gateway, gate, "1") for gateway in GATEWAYS}
        self.http = {
            name: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://farm")
            for name, app in apps.items()
        }
        self.headers: dict[str, str] = {}
        self.pusher = Pusher(gate)
        world.carriers["flamenco_v1"] = self.pusher

    async def round(self) -> None:
        """Those that it calls are called: each is asked how it goes."""
        await self.pusher.round()
        await self.pusher.idle()

    async def close(self) -> None:
        """Hang up."""
        for http in self.http.values():
            await http.aclose()

    async def credential(self, gateway: Any, name: str, scheme: str) -> None:
        """What opens it."""
        made = gateway.mint(name)
        await self.world.ask(
            CreateToken(
                *(name, Role.AGENT, made.prefix, made.digest, None, "tester"),
                gateway=gateway.name,
                subject=made.subject,
                enrols=made.enrols,
            )
        )
        self.headers[gateway.name] = f"{scheme} {made.shown['token']}"

    async def post(self, gateway: str, path: str, body: dict[str, Any]) -> None:
        """One call, which succeeds."""
        headers = {"Authorization": self.headers[gateway]}
        answer = await self.http[gateway].post(path, json=body, headers=headers)
        assert answer.status_code == 200, answer.text

    def celery(self, hostname: str, what: str, at: datetime | None = None) -> Callable[[], Awaitable[None]]:
        """A worker's event, sent at a time (None: now)."""

        def call() -> Awaitable[None]:
            sent = (at or self.world.now).timestamp()
            event = {"hostname": hostname, "pid": 1, "freq": BEAT.total_seconds(), "active": 0, "timestamp": sent}
            return self.post("stencila", f"/api/workers/{what}", event)

        return call

    def openwork(self, typeid: str, *, active: bool) -> Callable[[], Awaitable[None]]:
        """A heartbeat of a worker whose clock is an hour slow."""

        def call() -> Awaitable[None]:
            sent = (self.world.now - HOUR).isoformat().replace("+00:00", "Z")
            body = {"isActiveRecently": active, "sentAt": sent, "openSessionCount": 0}
            return self.post("openwork", f"/v1/workers/{typeid}/activity-heartbeat", body)

        return call


def a_gate(world: World, pool: Any) -> Gate:
    """What the routes work with; operators' programs do not call here."""
    farm: Any = SimpleNamespace(version="1", door=None, views=None, blobs=None, large_bodies=asyncio.Semaphore(2))
    settings = {"flamenco_v1_network": "127.0.0.0/8", "flamenco_v1_kinds": "exec", "flamenco_v1_poll_s": 600.0}
    holdings, journal, watched = PostgresHoldings(pool), PostgresEar(pool), PostgresWatched(pool)
    return Gate(world.desk.ask, Tokens(pool), PostgresErrands(pool), holdings, farm, journal, watched, settings)


async def told(world: World, worker: str) -> list[str]:
    """When what was noted of a worker."""
    rows = await world.rows("SELECT at, event FROM history WHERE worker_id = $1 ORDER BY id", worker)
    return [f"{row['at'].astimezone(UTC):%H:%M} {row['event'].removeprefix('worker.')}" for row in rows]


class Frames(Polling):
    """A Flamenco 3 worker that does a task at each beat, and remembers which."""

    def __init__(self, http: httpx.AsyncClient, name: str) -> None:
        super().__init__(http, name)
        self.types = ["blender"]
        self.silent = False
        self.left = ""

    async def turn(self) -> None:
        """One beat."""
        if not self.silent:
            await self.run()

    async def vanish(self) -> None:
        """It is given a task, and its machine loses power."""
        self.left, self.silent = str((await self.given())["uuid"]), True

    async def back(self) -> None:
        """It signs on anew, after it has sent what it had rendered: too late, for somebody else has that task."""
        assert (await self.update(self.left, taskStatus="completed")).status_code == 409
        assert (await self.sign_on()).json() == {"status_requested": "awake"}
        assert (await self.changed("awake")).status_code == 204
        self.silent = False


class Pushed(Worker):
    """A Flamenco 1 worker that says at each beat that it is done."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        super().__init__("http://farm")
        self.http = http

    async def turn(self) -> None:
        """One beat."""
        if self.running is not None:
            assert (await self.says(self.running, status="finished")).status_code == 204

    async def die(self) -> None:
        """Nobody listens there, and nothing is said any more."""
        await super().die()
        self.running = None


async def a_job(world: World, name: str, kind: str, count: int, command: dict[str, Any]) -> None:
    """So many tasks of a kind."""
    task = {"name": name, "kind": kind, "commands": [command], "array": {"count": count}}
    spec = {"name": name, "tasks": [task], "accept_unknown_kinds": True}
    await world.ask(SubmitJob(JobSpec.model_validate(spec), "ana"))


async def ended(world: World, kind: str) -> list[str]:
    """When the attempts of a kind ended, and where, in that order."""
    rows = await world.rows(
        "SELECT a.ended_at, w.platform->>'hostname' AS host, a.ending"
        " FROM attempts a JOIN workers w ON w.id = a.worker_id JOIN classes c ON c.id = a.class_id"
        " WHERE c.kind = $1 ORDER BY a.ended_at, host",
        kind,
    )
    return [f"{row['ended_at'].astimezone(UTC):%H:%M} {row['host']} {row['ending']}" for row in rows]


async def test_a_day_of_tasks_at_both_flamencos_ends_as_computed_by_hand(database_url: str) -> None:
    pool = await open_pool(database_url)
    async with a_world(database_url, MORNING, tick=BEAT) as world, contextlib.AsyncExitStack() as stack:
        web = Web(world, a_gate(world, pool))
        stack.push_async_callback(web.close)
        http = web.http["flamenco_v3"]
        first, second = Frames(http, "render-1"), Frames(http, "render-2")
        old, other = Pushed(web.http["flamenco_v1"]), Pushed(web.http["flamenco_v1"])
        other.hostname = "other"
        for one in (old, other):
            await stack.enter_async_context(one)

        world.at(MORNING, first.awake)
        world.at(MORNING, old.register)
        world.at(MORNING, world.machine("desk", lambda _: Deed(HOUR / 2)).start)
        world.at(MORNING + MINUTE, lambda: a_job(world, "shot", "blender", 9, {"name": "blender-render"}))
        program = {"name": "exec", "parameters": {"argv": ["true"]}}
        world.at(MORNING + MINUTE, lambda: a_job(world, "old", "exec", 4, program))
        world.at(MORNING + MINUTE, lambda: a_job(world, "desk", "render", 2, {"name": "echo"}))
        # Each beat, in this order: who is called is asked how it goes, and says what it has done; who polls, polls.
        for beat in range(1, 2 * 6):
            now = MORNING + beat * BEAT
            world.at(now - MINUTE, web.pusher.idle)
            world.at(now, web.round)
            if now != MORNING + 4 * BEAT:
                for turn in (old.turn, other.turn, first.turn, second.turn):
                    world.at(now, turn)
            world.at(now, web.pusher.idle)
        # At 06:40 render-1 is given its fourth task and loses power; the Flamenco 1 worker's machine is gone, too.
        world.at(MORNING + 4 * BEAT, first.vanish)
        world.at(MORNING + 4 * BEAT, old.die)
        second.silent = True
        world.at(MORNING + 6 * BEAT - MINUTE, second.awake)
        world.at(MORNING + 6 * BEAT - MINUTE, other.register)

        def wake() -> None:
            second.silent = False

        world.at(MORNING + 6 * BEAT - MINUTE, wake)
        world.at(MORNING + 7 * BEAT + MINUTE, first.back)
        await world.run(MORNING + 11 * BEAT + MINUTE)

        # Silent since 06:40, and judged each ten minutes: more than 150 s at 06:50. Its task is the oldest at 07:00.
        assert await ended(world, "blender") == [
            "06:10 render-1 completed",
            "06:20 render-1 completed",
            "06:30 render-1 completed",
            "06:50 render-1 lost",
            "07:00 render-2 completed",
            "07:10 render-2 completed",
            "07:20 render-1 completed",
            "07:20 render-2 completed",
            "07:30 render-1 completed",
            "07:30 render-2 completed",
        ]
        # Nobody listens at 06:50: handed back, no retry burnt; the other one is told it at 06:59.
        assert await ended(world, "exec") == [
            "06:10 fsiddi-macpro.local completed",
            "06:20 fsiddi-macpro.local completed",
            "06:30 fsiddi-macpro.local completed",
            "06:50 fsiddi-macpro.local interrupted",
            "07:00 other completed",
        ]
        assert [one["task_id"] for one in other.tasks] == [old.tasks[-1]["task_id"]]
        assert {row["state"] for row in await world.rows("SELECT state FROM tasks")} == {"completed"}
        accepted = await world.rows("SELECT count(*) FROM attempts WHERE accepted GROUP BY task_id")
        assert [row[0] for row in accepted] == [1] * 15
        rows = await world.rows(
            "SELECT platform->>'hostname' AS host, connection FROM workers WHERE protocol <> 'native' ORDER BY 1"
        )
        assert [(row["host"], row["connection"]) for row in rows] == [
            ("fsiddi-macpro.local", "offline"),
            ("other", "online"),
            ("render-1", "online"),
            ("render-2", "online"),
        ]
    await pool.close()


async def test_a_day_of_three_protocols_ends_as_computed_by_hand(database_url: str) -> None:
    pool = await open_pool(database_url)
    typeid = fresh_typeid()
    async with a_world(database_url, MORNING, tick=BEAT) as world:
        web = Web(world, a_gate(world, pool))
        world.at(MORNING, lambda: web.credential(STENCILA, "overseer", "Token"))
        world.at(MORNING, lambda: web.credential(OPENWORK, typeid, "Bearer"))
        notify = SetIdlePolicy(openwork_name(typeid), IdlePolicy(IdleAction.NOTIFY, 7200.0), "ana")
        world.at(MORNING, lambda: world.ask(notify))

        # All beat every ten minutes. celery-1 works all day, celery-2 is killed at 10:30, celery-3 says goodbye at
        # 12:01; its heartbeat of 12:00 is overtaken and comes a minute later. The OpenWork worker is active until
        # 09:00, silent from 14:00 to 15:00, then active again.
        noon = MORNING + 6 * HOUR
        for beat in range(1, 10 * 6):
            now = MORNING + beat * BEAT
            world.at(now, web.celery("celery-1", "heartbeat"))
            if now < MORNING + 4.5 * HOUR:
                world.at(now, web.celery("celery-2", "heartbeat"))
            if now < noon:
                world.at(now, web.celery("celery-3", "heartbeat"))
            if not 8 * HOUR < now - MORNING < 9 * HOUR:
                busy = now <= MORNING + 3 * HOUR or now >= MORNING + 9 * HOUR
                world.at(now, web.openwork(typeid, active=busy))
        world.at(noon + MINUTE, web.celery("celery-3", "offline"))
        world.at(noon + 2 * MINUTE, web.celery("celery-3", "heartbeat", noon))
        # One of our own agents has work beside them, all day.
        world.at(MORNING, world.machine("desk", lambda _: Deed(HOUR)).start)
        task = {"name": "frame", "kind": "render", "commands": [{"name": "echo"}], "array": {"count": 8}}
        job = SubmitJob(JobSpec.model_validate({"name": "shot", "tasks": [task]}), "ana")
        world.at(MORNING + MINUTE, lambda: world.ask(job))

        await world.run(MORNING + 10 * HOUR)

        assert await told(world, hub_name("celery-1")) == ["06:10 online"]
        # The last beat is of 10:20: suspect after 2 x 10 minutes and a tenth, lost after 5 x 10; seen each ten minutes.
        assert await told(world, hub_name("celery-2")) == ["06:10 online", "10:50 suspect", "11:20 lost"]
        assert await told(world, hub_name("celery-3")) == ["06:10 online", "12:01 offline"]
        # Told once of two hours without anything to do. The last beat is of 14:00: suspect after 11, lost after 15.
        assert await told(world, openwork_name(typeid)) == [
            "06:00 idle_policy_set",
            "06:10 online",
            "11:00 idle",
            "14:20 suspect",
            "14:20 lost",
            "15:00 online",
        ]
        assert [row["state"] for row in await world.rows("SELECT state FROM tasks")] == ["completed"] * 8
        epochs = await world.rows("SELECT epoch FROM workers WHERE protocol <> 'native' ORDER BY id")
        assert sum(row["epoch"] for row in epochs) == 6
    await pool.close()
