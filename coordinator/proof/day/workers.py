"""Workers by script, all in this process: what they say is what agents say, and nothing is run.

Each holds what it is given until its next heartbeat has listed it, then reports it, with a line of log and an output;
one in a hundred is interrupted instead. Whatever the coordinator says is followed. Two connections serve them all.
"""

import itertools
import json
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, Final, Self, cast
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from aiormq import spec
from aiormq.channel import Channel

from schemas import topology
from schemas.base import Message
from schemas.envelope import decode_to_worker
from schemas.task import Phase

KIND: Final = "scripted"
SLOTS: Final = 4
#: As many messages are on their way out at once.
_TOGETHER: Final = 20
ZONES: Final = 4
#: One in so many of its heartbeats tells of a worker's machine. By time, a slow hour had more samples than a quick one.
MEASURED: Final = 20
_INTERRUPTED: Final = 100
#: Attempts of which a worker knows that it had them.
_REMEMBERED: Final = 100
_OUTPUT: Final = {"name": "frame.exr", "size": 1_000_000, "digest": "0" * 64}
#: What a machine of eight cores and a GPU says of itself.
_STATS: Final = {
    "cpu_percent": 50.0,
    "cores_percent": [12.5 * core for core in range(8)],
    "load": [4.0, 3.5, 3.0],
    "memory_used": 2**34,
    "memory_total": 2**36,
    "disk_used": 2**38,
    "disk_total": 2**40,
    "network_received_rate": 1e6,
    "network_sent_rate": 1e5,
    "gpus": [{"name": "gpu", "percent": 75.0, "memory_used": 2**33, "memory_total": 2**34, "temperature": 60.0}],
}
_to_json: Final = json.JSONEncoder(separators=(",", ":")).encode
_STATS_JSON: Final = _to_json(_STATS)


class Worker:
    """One life of a worker: what it holds, and the envelopes it sends."""

    def __init__(self, name: str, zone: str) -> None:
        self.name = name
        self.epoch = 0
        self.seq = 0
        self.ended = 0
        self._zone = zone
        self._instance = str(uuid4())
        self._held: dict[tuple[int, int], dict[str, Any]] = {}
        self._beats = 0
        self._ended: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)

    def envelope(self, *events: dict[str, Any]) -> bytes:
        """The next envelope."""
        return self._around(",".join(map(_to_json, events)))

    def _around(self, events: str) -> bytes:
        self.seq += 1
        return (
            f'{{"v":1,"worker":"{self.name}","epoch":{self.epoch},"instance":"{self._instance}","seq":{self.seq},'
            f'"sent_at":"{datetime.now(UTC).isoformat()}","events":[{events}]}}'
        ).encode()

    def online(self) -> bytes:
        """It is here, with all it holds."""
        offers = {"kinds": [KIND], "queues": ["default"], "zone": self._zone, "capacity": {"slots": SLOTS}}
        said = {"type": "worker.online", "boot_id": "day", "software": "day", "holds": [*self._held.values()]}
        return self.envelope(said | offers)

    def heartbeat(self) -> bytes:
        """It is alive, and holds this."""
        holds = ",".join(map(_to_json, self._held.values()))
        self._beats += 1
        stats = f',"stats":{_STATS_JSON}' if self._beats % MEASURED == 0 else ""
        return self._around(f'{{"type":"worker.heartbeat","holds":[{holds}]{stats}}}')

    def take(self, task: int, attempt: int) -> Iterator[dict[str, Any]]:
        """An attempt is given to it: it has started. What is said again, because it is slow, is known."""
        if (task, attempt) not in self._held and (task, attempt) not in self._ended:
            self._held[task, attempt] = {"task": task, "attempt": attempt, "phase": Phase.RUNNING.value}
            yield {"type": "task.started", "task": task, "attempt": attempt}

    def finish(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Report all that runs: logs, and how it ended."""
        logs, reports, day = [], [], f"{datetime.now(UTC):%Y-%m-%d}"
        for (task, attempt), held in self._held.items():
            if held["phase"] == Phase.RUNNING:
                self.ended += 1
                outcome = "completed" if self.ended % _INTERRUPTED else "interrupted"
                held |= {"phase": Phase.FINISHED.value, "outcome": outcome}
                one = {"task": task, "attempt": attempt}
                text = f"frame {task} rendered by {self.name}\n"
                logs.append({"type": "task.log", **one, "chunk": 0, "day": day, "text": text})
                ended = {"type": "task.finished", **one, "outcome": outcome, "run_s": 1.5}
                reports.append(ended | ({"result": {"frame": task}, "outputs": [_OUTPUT]} if self.ended % 2 else {}))
        return logs, reports

    def forget(self, task: int, attempt: int) -> None:
        """There is a verdict."""
        if self._held.pop((task, attempt), None):
            self._ended.append((task, attempt))

    def runs(self, task: int, attempt: int) -> bool:
        """Whether it has not reported this attempt yet."""
        return self._held.get((task, attempt), {}).get("phase") == Phase.RUNNING

    @property
    def holds(self) -> int:
        """How many attempts it holds."""
        return len(self._held)


class Fleet:
    """All of them: `async with Fleet(amqp_url, 99) as fleet`."""

    def __init__(self, amqp_url: str, count: int) -> None:
        self._amqp_url = amqp_url
        self.workers = [Worker(f"scripted-{number:03}", f"zone-{number % ZONES}") for number in range(1, count + 1)]
        self.beats = 0
        self._turn: Iterator[Worker] = itertools.cycle(self.workers)
        self._stack = AsyncExitStack()
        self._mouth: Channel
        self._said = 0

    async def __aenter__(self) -> Self:
        """Connect, consume every worker's queue, say that all are online."""
        async with AsyncExitStack() as stack:
            saying, hearing = [
                await stack.enter_async_context(await aio_pika.connect(self._amqp_url, heartbeat=600)) for _ in range(2)
            ]
            self._user = saying.url.user
            channel = await saying.channel(publisher_confirms=False)
            self._mouth = cast("Channel", await channel.get_underlay_channel())
            channel = await hearing.channel()
            for worker in self.workers:
                declared = topology.worker_queue(worker.name)
                queue = await channel.declare_queue(declared.name, durable=True, arguments=dict(declared.arguments))
                await queue.consume(self._ear(worker), exclusive=True, no_ack=True)
            for worker in self.workers:
                await self._say(topology.event_key(worker.name), worker.online())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._stack.aclose()

    @property
    def welcomed(self) -> bool:
        """Whether each of them has an epoch."""
        return all(worker.epoch for worker in self.workers)

    async def beat(self) -> None:
        """The next worker's heartbeat, and the end of what it lists as running."""
        worker = next(self._turn)
        self.beats += 1
        await self._say(topology.heartbeat_key(worker.name), worker.heartbeat(), kept=False)
        if worker.holds:
            logs, reports = worker.finish()
            if logs:
                await self._say(topology.log_key(worker.name), worker.envelope(*logs))
                await self._say(topology.event_key(worker.name), worker.envelope(*reports))

    def _ear(self, worker: Worker) -> Any:
        async def hear(message: AbstractIncomingMessage) -> None:
            envelope, _ = decode_to_worker(message.body)
            worker.epoch = max(worker.epoch, envelope.epoch)
            answers = list(self._answers(worker, envelope.commands))
            if answers:
                await self._say(topology.event_key(worker.name), worker.envelope(*answers))

        return hear

    def _answers(self, worker: Worker, commands: Sequence[Message]) -> Iterator[dict[str, Any]]:
        """What *worker* says at once to these."""
        command: Any
        for command in commands:
            match command.type:
                case "assign":
                    for one in command.attempts:
                        yield from worker.take(one.task, one.attempt)
                case "verdict":
                    for one in command.verdicts:
                        worker.forget(one.task, one.attempt)
                case "revoke" if not any(worker.runs(one.task, one.attempt) for one in command.attempts):
                    pass  # a heartbeat that listed them came later than their reports
                case "revoke" | "reset" | "request_state":
                    raise RuntimeError(f"{worker.name} is told {command.type}, in a farm where nothing goes wrong")

    async def _say(self, key: str, body: bytes, *, kept: bool = True) -> None:
        """Publish, and wait now and then until all that was said is out."""
        properties = spec.Basic.Properties(
            content_type="application/json", delivery_mode=2 if kept else 1, user_id=self._user
        )
        self._said += 1
        await self._mouth.basic_publish(
            body,
            exchange=topology.EVENTS_EXCHANGE,
            routing_key=key,
            properties=properties,
            wait=self._said % _TOGETHER == 0,
        )
