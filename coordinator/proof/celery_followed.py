"""What it costs to follow Celery's workers, beside heartbeats of our own agents at the same rate.

200 simulated Celery workers send a heartbeat every two seconds and 500 events of tasks a second, each event a message
of its own (stock workers send several in one). In turns with them as many of our own heartbeats come from 200 agents.
The figure is the coordinator's CPU an event, less what it takes with nothing to do; it falls behind when messages are
left waiting in its queues.
"""

import argparse
import asyncio
import os
import platform
import statistics
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

import aio_pika
import psutil

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.celery_crowd import Crowd, SimulatedWorker, a_task
from coordinator.proof.judged import cpu_s, judged
from schemas import topology
from schemas.base import Message
from schemas.envelope import FromWorker
from schemas.worker import Capacity, WorkerHeartbeat, WorkerOnline

WORKERS: Final = 200
BEATS_A_SECOND: Final = WORKERS // 2
TASK_EVENTS: Final = 500
RATE: Final = BEATS_A_SECOND + TASK_EVENTS
#: The ratio that may not be exceeded, and how many messages may wait at the end of a round (a second's).
ALLOWED: Final = 2.0
LEFT: Final = RATE
_SLICE_S: Final = 0.1
_QUEUES: Final = ("farmhand.celery.workers", "farmhand.celery.tasks", topology.HEARTBEATS_QUEUE)


class Agents:
    """As many agents of our own, which only say that they live."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._instances = {f"agent-{number}": uuid4() for number in range(WORKERS)}
        self._seq = 0

    async def open(self) -> None:
        """Say that they are here."""
        self._connection = await aio_pika.connect(self._url)
        channel = await self._connection.channel(publisher_confirms=False)
        self._exchange = await channel.get_exchange(topology.EVENTS_EXCHANGE, ensure=False)
        for name in self._instances:
            await channel.declare_queue(
                topology.worker_queue(name).name, durable=True, arguments=dict(topology.worker_queue(name).arguments)
            )
            online = WorkerOnline(
                boot_id="bench", software="bench", kinds=["echo"], queues=["default"], capacity=Capacity(slots=1)
            )
            await self._say(name, 0, online, topology.event_key(name))

    async def close(self) -> None:
        """Go."""
        await self._connection.close()

    async def beat(self, first: int, count: int) -> None:
        """So many heartbeats, of one agent after the other."""
        names = list(self._instances)
        for number in range(first, first + count):
            name = names[number % WORKERS]
            await self._say(name, 1, WorkerHeartbeat(), topology.heartbeat_key(name))

    async def _say(self, name: str, epoch: int, event: Message, key: str) -> None:
        self._seq += 1
        envelope = FromWorker.model_validate(
            {
                "worker": name,
                "epoch": epoch,
                "instance": self._instances[name],
                "seq": self._seq,
                "sent_at": datetime.now(UTC),
                "events": [event],
            }
        )
        message = aio_pika.Message(
            envelope.model_dump_json().encode(),
            content_type="application/json",
            message_id=str(self._seq),
            user_id=self._connection.url.user,
        )
        await self._exchange.publish(message, key, mandatory=False)


class Celery:
    """The crowd's part of the load."""

    def __init__(self, crowd: Crowd) -> None:
        self._workers: list[SimulatedWorker] = [crowd.worker(f"celery@node-{one}", pid=1) for one in range(WORKERS)]
        self._beats = 0

    async def open(self) -> None:
        """Say that they are here."""
        for worker in self._workers:
            await worker.say("worker-online")

    async def tell(self, first: int, count: int) -> None:
        """So many events: heartbeats among those of tasks."""
        number = first
        while number < first + count:
            if number % (RATE // BEATS_A_SECOND) == 0:
                await self._workers[self._beats % WORKERS].say("worker-heartbeat")
                self._beats += 1
                number += 1
                continue
            worker, uuid = self._workers[number % WORKERS], a_task()
            for type_, fields in (
                ("task-received", {"name": "shop.add", "args": "(2, 3)", "kwargs": "{}", "retries": 0}),
                ("task-started", {}),
                ("task-succeeded", {"result": "5", "runtime": 0.01}),
            ):
                await worker.say(type_, uuid=uuid, **fields)
                number += 1


async def steadily(seconds: float, say: Callable[[int, int], Awaitable[None]]) -> None:
    """Say RATE events a second for so long."""
    began, said = time.perf_counter(), 0
    while (passed := time.perf_counter() - began) < seconds:
        due = int(min(passed + _SLICE_S, seconds) * RATE)
        await say(said, due - said)
        said = due
        await asyncio.sleep(_SLICE_S)


async def nothing(_first: int, _count: int) -> None:
    """Say nothing."""


async def waiting(url: str) -> int:
    """How many messages wait in the coordinator's queues."""
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        found = [await channel.declare_queue(name, passive=True) for name in _QUEUES]
    return sum(one.declaration_result.message_count or 0 for one in found)


async def measure(farm: LocalFarm, rounds: int, seconds: float) -> bool:
    """Measure in turns and print; whether the bridge reaches what it has to."""
    (process,) = (psutil.Process(part.pid) for part in farm.coordinators.values())
    url = farm.services.amqp_url
    agents = Agents(url)
    await agents.open()
    costs: dict[str, list[float]] = {"nothing": [], "our heartbeats": [], "Celery's events": []}
    left = 0
    async with Crowd(url) as crowd:
        await crowd.heard(*_QUEUES[:2])
        celery = Celery(crowd)
        await celery.open()
        await steadily(30.0, celery.tell)  # all have been asked about themselves by then
        for _ in range(rounds):
            for name, say in (("nothing", nothing), ("our heartbeats", agents.beat), ("Celery's events", celery.tell)):
                before = cpu_s(process)
                await steadily(seconds, say)
                costs[name].append((cpu_s(process) - before) / seconds)
                left = max(left, await waiting(url))
    await agents.close()
    idle = statistics.median(costs.pop("nothing"))
    print(
        f"{WORKERS} workers, {RATE} events a second, {rounds} rounds of {seconds:.0f} s, {os.cpu_count()} cores, ",
        end="",
    )
    print(f"Python {platform.python_version()}; {idle:.1%} of a core with nothing to do")
    an_event = {name: [(cost - idle) / RATE * 1e6 for cost in some] for name, some in costs.items()}
    for name, some in an_event.items():
        span = f"({min(some):.0f} to {max(some):.0f})"
        print(f"{name:16} {statistics.median(some):5,.0f} us of the coordinator's CPU each {span}")
    ours, theirs = (statistics.median(some) for some in an_event.values())
    print(f"ratio {theirs / ours:.2f}; at most {left} messages waited at the end of a round", flush=True)
    return theirs <= ALLOWED * ours and left <= LEFT


async def main(rounds: int, seconds: float) -> None:
    """Measure on a farm of its own."""
    plan = Plan(agents=0, settings={"FARMHAND_GATEWAYS": "celery", "FARMHAND_LOG_LEVEL": "warning"})
    await judged(
        plan,
        lambda farm: measure(farm, rounds, seconds),
        f"more than {ALLOWED} heartbeats' CPU an event, or it falls behind",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    asyncio.run(main(options.rounds, options.seconds))
