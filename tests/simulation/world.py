"""A farm in time moved by hand: the coordinator's own receiver, writer, duties and database, and scripted workers.

Nothing here waits. `run(until)` takes the next thing that is due, sets the farm's clock to its time, does it, and lets
the coordinator apply what came of it; every `tick` all workers that are alive send a heartbeat and all duties run.
"""

import asyncio
import heapq
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from coordinator.duties.schedules import Clock
from coordinator.handlers.heartbeats import Heartbeats
from coordinator.handlers.identity import Identities
from coordinator.handlers.routes import Receiver
from coordinator.operations.inbox import Inbox
from coordinator.operations.judging import JudgeSilence, Silence
from coordinator.operations.ledger import Ledger
from coordinator.operations.ports import Delivery
from coordinator.operations.replay import Desk
from coordinator.operations.roads import Road, Roads
from coordinator.operations.table import Sweep
from coordinator.operations.tending import Tend, TendIdle
from coordinator.operations.writer import Writer
from coordinator.storage.ear import PostgresEar
from coordinator.storage.invariants import violations
from coordinator.storage.pool import open_pool
from coordinator.storage.store import PostgresStore
from schemas import topology
from schemas.base import Message
from schemas.envelope import FromWorker, decode_to_worker
from tests.simulation.machine import Conduct, Deed, Machine

PATIENCE = Silence(heartbeat_s=5.0, lost_after_s=30.0)
_MANUAL_CLOCK = """
    CREATE TABLE simulated_clock (at timestamptz NOT NULL);
    INSERT INTO simulated_clock VALUES ('{start}');
    CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql STABLE AS 'SELECT at FROM simulated_clock';
"""
#: The coordinator has heard the workers all the while.
_HEARD = "UPDATE coordinators SET seen_at = farm_now(), events_at = farm_now(), heartbeats_at = farm_now()"


class World:
    """The farm, its time and its workers."""

    def __init__(self, pool: asyncpg.Pool, start: datetime, tick: timedelta) -> None:
        self.now = start
        self.machines: dict[str, Machine] = {}
        self._pool = pool
        self._tick = tick
        self._agenda: list[tuple[datetime, int, Callable[[], Any]]] = []
        self._order = itertools.count()
        self._inbox = Inbox()
        identities = Identities(None)
        self._receiver = Receiver(self._inbox, identities, self)
        self._ear = PostgresEar(pool)
        self._clock = Clock(self._inbox, self._ear)
        self._beats: list[Delivery] = []
        self._heartbeats = Heartbeats(self._ear, self._inbox, identities, self, lambda: PATIENCE.lost_after_s)
        self._letters: list[tuple[str, int, Sequence[Message | bytes]]] = []
        #: What carries to workers that are called over their own road, by protocol; to be filled before they come.
        self.carriers: dict[str, Road] = {}
        roads = Roads(self, {"flamenco_v1": _Carried(self.carriers, "flamenco_v1")})
        self._writer = Writer(self._inbox, PostgresStore(pool), roads, self._settle, PATIENCE, _Nobody())
        self.desk = Desk(self._inbox, self._receiver.items)

    async def begin(self) -> None:
        """A coordinator that has heard the workers for a while."""
        await self._ear.here("simulated", "simulated", "simulated")

    # --- the script --------------------------------------------------------------------------------------------

    def machine(self, name: str, conduct: Conduct = lambda _: Deed(), **online: Any) -> Machine:
        """A worker that is not online yet."""
        machine = self.machines[name] = Machine(self, name, conduct, online)
        return machine

    def at(self, when: datetime, do: Callable[[], Any]) -> None:
        """Do something at a time; what it returns is awaited."""
        heapq.heappush(self._agenda, (when, next(self._order), do))

    def after(self, wait: timedelta, do: Callable[[], Any]) -> None:
        """Do something a while from now."""
        self.at(self.now + wait, do)

    def ask(self, request: Any) -> Awaitable[Any]:
        """An operator's or submitter's request."""
        return self.desk.ask(request)

    async def run(self, until: datetime) -> None:
        """Let time pass."""
        while self.now < until:
            tick = self._next_tick
            due = self._agenda[0][0] if self._agenda else until
            await self._set(max(self.now, min(due, tick, until)))
            while self._agenda and self._agenda[0][0] <= self.now:
                answer = heapq.heappop(self._agenda)[2]()
                await (self._ask(answer) if inspect.isawaitable(answer) else self._apply())
            if self.now == tick:
                await self._beat_and_do_duties()

    async def rows(self, sql: str, *arguments: Any) -> list[asyncpg.Record]:
        """What the database says."""
        return await self._pool.fetch(sql, *arguments)

    # --- its inside --------------------------------------------------------------------------------------------
    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """The coordinator's courier: what it hands over is heard at once."""
        self._letters.append((worker, epoch, commands))

    def reply(self, queue: str, correlation_id: str | None, body: Message) -> None:
        """Nobody submits over AMQP here."""
        raise NotImplementedError

    def arrived(self, message: FromWorker, key: str) -> None:
        """The broker: what a worker says has arrived."""
        delivery = Delivery(
            queue=topology.HEARTBEATS_QUEUE if key == "hb" else topology.EVENTS_QUEUE,
            routing_key=f"{key}.{message.worker}",
            body=message.model_dump_json().encode(),
            channel=0,
            tag=0,
            user_id=f"w-{message.worker}",
        )
        if key == "hb":
            self._beats.append(delivery)
        else:
            self._receiver.receive([delivery])

    async def _settle(self, _: Sequence[Delivery]) -> None:
        return

    async def _set(self, now: datetime) -> None:
        if now != self.now:
            self.now = now
            await self._pool.execute("UPDATE simulated_clock SET at = $1", now)

    @property
    def _next_tick(self) -> datetime:
        return self.now - (self.now - datetime.min.replace(tzinfo=UTC)) % self._tick + self._tick

    async def _beat_and_do_duties(self) -> None:
        for machine in self.machines.values():
            if machine.alive:
                machine.beat()
        await self._apply()
        await self._pool.execute(_HEARD)
        self._inbox.post(Sweep())
        self._inbox.post(JudgeSilence(PATIENCE))
        self._inbox.post(Tend())
        self._inbox.post(TendIdle())
        await self._clock.look()
        await self._apply()

    async def _ask(self, answer: Awaitable[Any]) -> None:
        task = asyncio.ensure_future(answer)
        while not task.done():
            await asyncio.sleep(0)
            await self._apply()
        task.result()

    async def _apply(self) -> None:
        """Until nothing more comes of it."""
        while self._inbox or self._beats or self._letters:
            if self._beats:
                beats, self._beats = self._beats, []
                await self._heartbeats.handle(beats)
            if len(self._inbox):
                await self._writer.step()
            letters, self._letters = self._letters, []
            for worker, epoch, commands in letters:
                self._hear(worker, epoch, commands)

    def _hear(self, name: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        machine = self.machines[name]
        told = b",".join(one if isinstance(one, bytes) else one.model_dump_json().encode() for one in commands)
        head = f'{{"v":1,"worker":"{name}","epoch":{epoch},"commands":['.encode()
        envelope, _ = decode_to_worker(head + told + b"]}")
        for command in envelope.commands:
            if machine.alive:
                machine.hear(command)


class _Carried:
    """A road that is built later than the farm."""

    def __init__(self, carriers: dict[str, Road], protocol: str) -> None:
        self._carriers = carriers
        self._protocol = protocol

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Hand over *commands* for *worker*."""
        self._carriers[self._protocol].send(worker, epoch, commands)


class _Nobody:
    """Counts nothing."""

    def committed(self, ledger: Ledger, items: int, seconds: float) -> None:
        """Take no notice."""


@asynccontextmanager
async def a_world(
    database_url: str, start: datetime, *, tick: timedelta = timedelta(minutes=5)
) -> AsyncIterator[World]:
    """A farm in its own time, on a fresh database; at the end no invariant may be broken."""
    pool = await open_pool(database_url)
    try:
        await pool.execute(_MANUAL_CLOCK.format(start=start.isoformat()))
        world = World(pool, start, tick)
        await world.begin()
        yield world
    finally:
        await pool.close()
    assert await violations(database_url) == []
