"""A day of a farm of several protocols, in time moved by hand: what is known of each at each hour, computed by hand."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from coordinator.domain.idle import IdleAction, IdlePolicy
from coordinator.gateways.kit import Gate, application
from coordinator.gateways.openwork import GATEWAY as OPENWORK
from coordinator.gateways.openwork.routes import fresh_typeid
from coordinator.gateways.openwork.translate import name_of as openwork_name
from coordinator.gateways.stencila import GATEWAY as STENCILA
from coordinator.gateways.stencila.translate import name_of as hub_name
from coordinator.operations.access import CreateToken
from coordinator.operations.requests import SetIdlePolicy, SubmitJob
from coordinator.storage.errands import PostgresErrands
from coordinator.storage.pool import open_pool
from coordinator.storage.tokens import Tokens
from schemas.job import JobSpec
from schemas.roles import Role
from tests.simulation.machine import Deed
from tests.simulation.world import World, a_world

MORNING = datetime(2026, 3, 27, 6, tzinfo=UTC)
MINUTE, BEAT, HOUR = timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1)


class Web:
    """Clients of both gateways, whose calls arrive in the world's own time."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.world = world
        apps = {gateway.name: application(gateway, gate, "1") for gateway in (STENCILA, OPENWORK)}
        self.http = {
            name: httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://farm")
            for name, app in apps.items()
        }
        self.headers: dict[str, str] = {}

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


async def told(world: World, worker: str) -> list[str]:
    """When what was noted of a worker."""
    rows = await world.rows("SELECT at, event FROM history WHERE worker_id = $1 ORDER BY id", worker)
    return [f"{row['at'].astimezone(UTC):%H:%M} {row['event'].removeprefix('worker.')}" for row in rows]


async def test_a_day_of_three_protocols_ends_as_computed_by_hand(database_url: str) -> None:
    pool = await open_pool(database_url)
    typeid = fresh_typeid()
    async with a_world(database_url, MORNING, tick=BEAT) as world:
        unused: Any = None
        web = Web(world, Gate(world.desk.ask, Tokens(pool), PostgresErrands(pool), unused, farm=unused, journal=unused))
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
