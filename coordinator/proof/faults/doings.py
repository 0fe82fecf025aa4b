"""What can be done to a farm: each a function that makes a fault's doing, which hurts, waits and heals."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import aio_pika
import asyncpg

from coordinator.local.part import Part
from coordinator.proof.faults.load import Load
from coordinator.proof.faults.stage import Stage, children, tell
from coordinator.proof.proxy import Way
from schemas import topology

Doing: TypeAlias = Callable[[Stage], Awaitable[None]]

_WRITERS: Final = "datname = current_database() AND application_name = 'farmhand'"


async def nothing(stage: Stage) -> None:
    """Do nothing: what a run takes by itself."""


# --- processes ---------------------------------------------------------------------------------------------


def killed(kind: str, *, tasks: bool = True, all_: bool = False, after_s: float = 0.5) -> Doing:
    """SIGKILL to one (or all) of a kind, with what it started or without; started again after a moment."""

    async def do(stage: Stage) -> None:
        parts = [*stage.farm.coordinators.values()] if all_ else [stage.part(kind)]
        await asyncio.gather(*(asyncio.to_thread(part.kill, with_tasks=tasks) for part in parts))
        await asyncio.sleep(after_s)
        await stage.restart([part.name for part in parts])

    return do


def killed_again_and_again(every_s: float, times: int, *, before_s: float) -> Doing:
    """Under load, for *before_s* none and then every so often one of the coordinators dies, and is started at once."""

    async def do(stage: Stage) -> None:
        load = Load(stage)
        async with load.busy():
            undisturbed = await load.rate(before_s)
            rate = asyncio.create_task(load.rate(every_s * times))
            for _ in range(times):
                await asyncio.sleep(every_s)
                part = stage.part("coordinator")
                await asyncio.to_thread(part.kill)
                part.start(keep=True)
            hurt = await rate
        stage.said.append(
            f"{undisturbed:.0f} tasks/s undisturbed, {hurt:.0f} tasks/s with {times} kills in {every_s * times:.0f} s"
        )

    return do


def ended(kind: str) -> Doing:
    """SIGTERM, as a service manager sends it, and a new start."""

    async def do(stage: Stage) -> None:
        await stage.restart([stage.part(kind).name])

    return do


def stopped(kind: str, seconds: float, *, tasks: bool = False, all_: bool = False) -> Doing:
    """SIGSTOP for so long, then SIGCONT."""

    async def do(stage: Stage) -> None:
        parts = [*stage.farm.coordinators.values()] if all_ else [stage.part(kind)]
        await _hold(parts, seconds, tasks=tasks)

    return do


async def _hold(parts: list[Part], seconds: float, *, tasks: bool) -> None:
    family = [process for part in parts for process in (children(part) if tasks else [])]
    try:
        for part in parts:
            part.signal(signal.SIGSTOP)
        tell(family, signal.SIGSTOP)
        await asyncio.sleep(seconds)
    finally:
        tell(family, signal.SIGCONT)
        for part in parts:
            part.signal(signal.SIGCONT)


def stopped_inside(words: bytes, seconds: float) -> Doing:
    """SIGSTOP to a coordinator that has just said *words* to the database, for so long."""

    async def do(stage: Stage) -> None:
        part = stage.part("coordinator")
        async with asyncio.timeout(20):
            await stage.hops[part.name, "database"].said(words)
        await _hold([part], seconds, tasks=False)

    return do


def bereft(*, supervisors: bool) -> Doing:
    """SIGKILL to a running task's processes, or to the supervisors above them."""

    async def do(stage: Stage) -> None:
        for part in stage.farm.agents.values():
            tell(children(part, supervisors=supervisors)[:2], signal.SIGKILL)

    return do


async def replaced(stage: Stage) -> None:
    """SIGKILL to an agent, which never comes back under that name; another one comes."""
    part = stage.part("agent")
    await asyncio.to_thread(part.kill)
    del stage.farm.agents[part.name]
    stage.gone.append(part.name)
    await stage.farm.add_agent(await stage.new_name())


# --- the broker --------------------------------------------------------------------------------------------


async def broker_killed(stage: Stage) -> None:
    """SIGKILL, and a new start."""
    await asyncio.to_thread(stage.broker.kill)
    await asyncio.to_thread(stage.broker.restart)


async def broker_restarted(stage: Stage) -> None:
    """Ended in good order, and a new start."""
    await asyncio.to_thread(stage.broker.restart)


async def broker_emptied(stage: Stage) -> None:
    """SIGKILL, and a new start with an empty data directory."""
    await asyncio.to_thread(stage.broker.kill)
    await asyncio.to_thread(stage.broker.forget)
    await asyncio.to_thread(stage.broker.restart)


def broker_told(*words: str, then: tuple[str, ...] = (), seconds: float = 0) -> Doing:
    """`rabbitmqctl` *words*, and after so long *then*."""

    async def do(stage: Stage) -> None:
        await asyncio.to_thread(stage.broker.ctl, *words)
        if then:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(stage.broker.ctl, *then)

    return do


def queues_deleted(*, one_worker: bool) -> Doing:
    """One worker's queue, or all there are."""

    async def do(stage: Stage) -> None:
        names = [topology.worker_queue(stage.part("agent").name).name]
        if not one_worker:
            names = [queue.name for queue in topology.QUEUES]
            names += [topology.worker_queue(name).name for name in stage.farm.agents]
        async with await aio_pika.connect(stage.farm.services.amqp_url) as connection:
            channel = await connection.channel()
            for name in names:
                await channel.queue_delete(name)

    return do


# --- the database ------------------------------------------------------------------------------------------


async def database_killed(stage: Stage) -> None:
    """SIGKILL to all of it, and a new start."""
    await asyncio.to_thread(stage.postgres.kill)
    await asyncio.to_thread(stage.postgres.restart)


async def database_restarted(stage: Stage) -> None:
    """Ended in good order, and a new start."""
    await asyncio.to_thread(stage.postgres.restart)


async def backends_ended(stage: Stage) -> None:
    """Every connection of the coordinators is ended by an administrator."""
    async with stage.database() as connection:
        await connection.fetch(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_WRITERS}")  # noqa: S608


async def backend_killed(stage: Stage) -> None:
    """SIGKILL to one backend: Postgres ends all others and recovers."""
    async with stage.database() as connection:
        rows = await connection.fetch(f"SELECT pid FROM pg_stat_activity WHERE {_WRITERS}")  # noqa: S608
    if rows:
        os.kill(stage.chance.choice(rows)["pid"], signal.SIGKILL)


def read_only(seconds: float) -> Doing:
    """The database takes no writes for so long."""

    async def do(stage: Stage) -> None:
        async with stage.database() as connection:
            await connection.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            await connection.fetch("SELECT pg_reload_conf()")
        await asyncio.sleep(seconds)
        async with stage.database() as connection:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            await connection.fetch("SELECT pg_reload_conf()")

    return do


def locked(seconds: float) -> Doing:
    """Somebody holds a lock on the tasks for so long."""

    async def do(stage: Stage) -> None:
        async with stage.database() as connection, connection.transaction():
            try:
                await connection.execute("SET LOCAL lock_timeout = '5s'")
                await connection.execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            except asyncpg.LockNotAvailableError:
                return
            await asyncio.sleep(seconds)

    return do


# --- the ways ----------------------------------------------------------------------------------------------


def reset(kind: str, way: str) -> Doing:
    """All connections of one hop are reset."""

    async def do(stage: Stage) -> None:
        stage.hop(kind, way).reset()

    return do


def black_hole(kind: str, way: str, seconds: float) -> Doing:
    """Nothing is passed on for so long."""

    async def do(stage: Stage) -> None:
        hop = stage.hop(kind, way)
        hop.hold()
        await asyncio.sleep(seconds)
        hop.flow()

    return do


def half_open(kind: str, way: str, gone: Way) -> Doing:
    """The connection ends on one side, and the other is not told."""

    async def do(stage: Stage) -> None:
        stage.hop(kind, way).half_open(gone)

    return do


def slow(kind: str, way: str, seconds: float, *, latency_s: float = 0.1, piece: int | None = None) -> Doing:
    """Every piece is late (and small) for so long."""

    async def do(stage: Stage) -> None:
        hop = stage.hop(kind, way)
        hop.latency_s, hop.piece = latency_s, piece
        await asyncio.sleep(seconds)
        hop.flow()

    return do


def cut_after(kind: str, way: str, most: int) -> Doing:
    """Each connection is cut after some bytes, in the middle of whatever it is, again and again for two seconds."""

    async def do(stage: Stage) -> None:
        hop = stage.hop(kind, way)
        hop.cut_after(stage.chance.randrange(most), stage.chance.choice([*Way]))
        await asyncio.sleep(2)
        hop.flow()

    return do


def cut_at_commit(*, delivered: bool) -> Doing:
    """The connection is cut while COMMIT is on its way: it happens, or not, and the coordinator cannot know."""

    async def do(stage: Stage) -> None:
        hops = [hop for (_, to), hop in stage.hops.items() if to == "database"]
        for hop in hops:
            hop.cut_at(b"COMMIT", delivered=delivered)
        async with asyncio.timeout(20):
            while not all(hop.cuts for hop in hops):
                await asyncio.sleep(0.02)
        for hop in hops:
            hop.cuts = 0

    return do
