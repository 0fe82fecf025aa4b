"""`make bench`, third part: how soon a task that was running on a killed agent starts on another one.

An agent that runs a task of kind `echo` (commands `echo`, then `sleep`) is killed with SIGKILL; another agent is up and
has nothing to do. Measured from the call of kill(2) to the moment in which an observer on the broker receives the other
agent's `task.started`, which is later than the start itself. Then the killed agent is started again, and the other one
is the next to be killed. Each agent is in a zone of its own: killing some after one another is no mass failure.

The same is done to Celery (late acknowledgement, prefork pool of one) and to dramatiq, on a broker of the same kind in
the same run: their task says by a datagram that it starts, and the whole process group of a worker is killed.
"""

import argparse
import asyncio
import math
import os
import platform
import signal
import socket
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Self

import aio_pika
from aio_pika.abc import AbstractIncomingMessage

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.deaths_beside import celery_deaths, dramatiq_deaths
from coordinator.storage.invariants import violations
from schemas.envelope import decode_from_worker
from schemas.job import JobSpec
from schemas.task import TaskStarted
from schemas.topology import (
    BROKER_EVENTS_EXCHANGE,
    CONNECTION_CLOSED,
    EVENTS_EXCHANGE,
    consumer_of,
)

#: A killed agent's task is lost each time, and a job may allow as many losses.
MOST_LOSSES: Final = 100
WITHIN_S: Final = 120.0
#: Agents that are killed together where silence decides.
TOGETHER: Final = 5


@dataclass
class Observer:
    """Hears on the broker which attempts start, and which agents' connections close."""

    amqp_url: str
    started: dict[tuple[int, int], tuple[float, str]] = field(default_factory=dict)
    closed: dict[str, float] = field(default_factory=dict)

    async def __aenter__(self) -> Self:
        self._news = asyncio.Condition()
        self._connection = await aio_pika.connect(self.amqp_url)
        channel = await self._connection.channel()
        queue = await channel.declare_queue(exclusive=True, durable=False)
        await queue.bind(EVENTS_EXCHANGE, "ev.#")
        await queue.bind(BROKER_EVENTS_EXCHANGE, CONNECTION_CLOSED)
        await queue.consume(self._hear, no_ack=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        now = time.perf_counter()
        async with self._news:
            if message.routing_key == CONNECTION_CLOSED:
                consumer = consumer_of(str(message.headers.get("user_provided_name")))
                if consumer is not None:
                    self.closed[consumer[0]] = now
            elif message.routing_key and not message.routing_key.startswith("ev.-"):
                envelope, _ = decode_from_worker(message.body)
                for event in envelope.events:
                    if isinstance(event, TaskStarted):
                        self.started.setdefault((event.task, event.attempt), (now, envelope.worker))
            self._news.notify_all()

    async def start_of(self, task: int, attempt: int) -> tuple[float, str]:
        """When and where this attempt started."""
        async with asyncio.timeout(WITHIN_S), self._news:
            await self._news.wait_for(lambda: (task, attempt) in self.started)
        return self.started[task, attempt]


@dataclass(frozen=True)
class Deaths:
    """Seconds from kill to start, one for each kill; and of that, until the broker told of the closed connection."""

    name: str
    seconds: Sequence[float]
    until_told: Sequence[float] = ()

    def line(self) -> str:
        """As a row of a table, in milliseconds."""
        figures = [statistics.median(self.seconds), percentile(self.seconds, 99), max(self.seconds)]
        told = f"{statistics.median(self.until_told) * 1e3:8.1f}" if self.until_told else "        "
        return f"{self.name:38} {len(self.seconds):4d} " + " ".join(f"{one * 1e3:9.1f}" for one in figures) + told


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of *values* that so many percent of them do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def a_plan(agents: int, **settings: str) -> Plan:
    """A farm of agents with one slot, each in a zone of its own."""
    return Plan(
        agents=agents, slots=1, apart=True, settings={f"FARMHAND_{key.upper()}": one for key, one in settings.items()}
    )


#: Says something, and goes on.
ECHO: Final = (
    {"name": "echo", "parameters": {"message": "here"}},
    {"name": "sleep", "parameters": {"seconds": 86400}},
)


async def _hold(farm: LocalFarm, count: int, kind: str = "echo", commands: Sequence[object] = ECHO) -> list[int]:
    """Tasks that run until they are killed; their numbers."""
    task = {"name": "hold", "kind": kind, "commands": list(commands), "array": {"count": count}}
    spec = JobSpec.model_validate({"name": "deaths", "tasks": [task], "max_losses": MOST_LOSSES})
    async with farm.client() as client:
        job = (await client.submit(spec)).job
        return sorted([one.id for one in (await client.tasks(job)).items])


def kill(farm: LocalFarm, agent: str) -> float:
    """SIGKILL to an agent; when."""
    pid = farm.agents[agent].pid
    assert pid is not None  # noqa: S101 - it runs
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    return began


async def with_a_program(name: str, kills: int) -> Deaths:
    """As `one_by_one` without a grace, of kind `exec`: until the program says by a datagram that it runs."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(0)
        says = f"echo here > /dev/udp/127.0.0.1/{ear.getsockname()[1]}; exec sleep 86400"
        program = {"name": "exec", "parameters": {"argv": ["bash", "-c", says]}}
        async with LocalFarm(a_plan(2, reconnect_grace_s="0"), say=_say) as farm:
            async with Observer(farm.services.amqp_url) as observer:
                (task,) = await _hold(farm, 1, kind="exec", commands=[program])
                seconds = []
                await asyncio.wait_for(loop.sock_recv(ear, 100), WITHIN_S)
                _, victim = await observer.start_of(task, 1)
                for attempt in range(2, kills + 2):
                    killed = kill(farm, victim)
                    await asyncio.wait_for(loop.sock_recv(ear, 100), WITHIN_S)
                    seconds.append(time.perf_counter() - killed)
                    _, other = await observer.start_of(task, attempt)
                    await farm.restart(victim)
                    victim = other
            await _sound(farm)
    return Deaths(name, seconds)


async def one_by_one(name: str, kills: int, grace_s: float) -> Deaths:
    """Two agents that are killed in turn, as soon as the other one is up."""
    async with LocalFarm(a_plan(2, reconnect_grace_s=str(grace_s)), say=_say) as farm:
        async with Observer(farm.services.amqp_url) as observer:
            (task,) = await _hold(farm, 1)
            seconds, told = [], []
            _, victim = await observer.start_of(task, 1)
            for attempt in range(2, kills + 2):
                killed = kill(farm, victim)
                began, other = await observer.start_of(task, attempt)
                seconds.append(began - killed - grace_s)
                told.append(observer.closed[victim] - killed)
                await farm.restart(victim)
                victim = other
        await _sound(farm)
    return Deaths(name, seconds, told)


async def by_silence(name: str, kills: int) -> Deaths:
    """Some agents that are killed together, and one that takes over: without the broker's word."""
    async with LocalFarm(a_plan(TOGETHER, broker_events_vhost=""), say=_say) as farm:
        seconds: list[float] = []
        spare = await farm.add_agent("spare", slots=TOGETHER)
        async with Observer(farm.services.amqp_url) as observer, farm.client() as client:
            while len(seconds) < kills:
                await client.request_worker_state(spare, "drain")
                await _until_duty(farm, spare, "draining")
                tasks = await _hold(farm, TOGETHER)
                where = {task: (await observer.start_of(task, 1))[1] for task in tasks}
                await client.request_worker_state(spare, "awake")
                await _until_duty(farm, spare, "awake")
                killed = {task: kill(farm, agent) for task, agent in where.items()}
                starts = {task: (await observer.start_of(task, 2))[0] for task in tasks}
                seconds += [at - killed[task] for task, at in starts.items()]
                for agent in where.values():
                    await farm.restart(agent)
                job = (await client.task(tasks[0])).job
                await client.cancel_job(job)
        await _sound(farm)
    return Deaths(name, seconds)


async def _until_duty(farm: LocalFarm, agent: str, duty: str) -> None:
    async with asyncio.timeout(WITHIN_S), farm.client() as client:
        while (await client.worker(agent)).duty != duty:
            await asyncio.sleep(0.1)


async def _sound(farm: LocalFarm) -> None:
    broken = await violations(farm.services.database_url)
    if broken:
        raise SystemExit(f"BROKEN: {broken}")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


async def main(kills: int, silent: int) -> None:
    """Measure and print."""
    print(f"{kills} kills each, {os.cpu_count()} cores, Python {platform.python_version()}; milliseconds")
    print(f"{'':38} {'n':>4} {'median':>9} {'p99':>9} {'most':>9}    told", flush=True)
    found = [await one_by_one("farmhand, grace 0", kills, 0.0)]
    print(found[-1].line(), flush=True)
    found.append(await one_by_one("farmhand, grace 2 s (beyond the grace)", kills, 2.0))
    print(found[-1].line(), flush=True)
    print((await with_a_program("farmhand, grace 0, until a program runs", kills // 5 or 1)).line(), flush=True)
    for peer, deaths in (("celery, acks_late", celery_deaths), ("dramatiq", dramatiq_deaths)):
        print(Deaths(peer, await deaths(kills)).line(), flush=True)
    if silent:
        print((await by_silence("farmhand, without the broker's word", silent)).line(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument(
        "--silent", type=int, default=10, help="kills without the broker's word: half a minute each five"
    )
    options = parser.parse_args()
    asyncio.run(main(options.kills, options.silent))
