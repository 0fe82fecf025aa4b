"""Simulated Celery workers, as the broker sees them: what stock workers publish and answer, without their processes.

Their words are those of Celery 5.6 as captured; a simulated one runs nothing, it says what it is told to say.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractQueue

_LOOK_S: Final = 0.1
_SOFTWARE: Final = {"sw_ident": "py-celery", "sw_ver": "5.6.3", "sw_sys": "Linux"}


class Crowd:
    """A broker's connection for simulated workers."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self._events: AbstractExchange | None = None
        self._replies: AbstractExchange | None = None
        self.channel: AbstractChannel
        self.workers: dict[str, SimulatedWorker] = {}

    async def __aenter__(self) -> Self:
        """Declare what Celery's workers declare."""
        self._connection = await aio_pika.connect(self._url)
        await self._stack.enter_async_context(self._connection)
        self.channel = await self._connection.channel(publisher_confirms=False)
        self._events = await self.channel.declare_exchange("celeryev", "topic", durable=True)
        self._replies = await self.channel.declare_exchange("reply.celery.pidbox", "direct", durable=False)
        control = await self.channel.declare_exchange("celery.pidbox", "fanout", durable=False)
        # One queue for all: the broker is not what is measured.
        queue = await self.channel.declare_queue(exclusive=True)
        await queue.bind(control)
        await queue.consume(self._told, no_ack=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        await self._stack.aclose()

    async def heard(self, *queues: str) -> None:
        """Wait until somebody consumes *queues*: what was said before is lost, as with stock workers."""
        for name in queues:
            while True:
                channel = await self._connection.channel()
                try:
                    found = await channel.declare_queue(name, passive=True)
                except aio_pika.exceptions.ChannelClosed:
                    await asyncio.sleep(_LOOK_S)
                    continue
                await channel.close()
                if found.declaration_result.consumer_count:
                    break
                await asyncio.sleep(_LOOK_S)

    def worker(self, hostname: str, **fields: Any) -> "SimulatedWorker":
        """A worker of this node name, or the next process of it."""
        self.workers[hostname] = SimulatedWorker(self, hostname, **fields)
        return self.workers[hostname]

    async def publish(self, body: Any, key: str, content_type: str = "application/json") -> None:
        """Publish an event, or a list of them, as Celery does: transient, unconfirmed."""
        assert self._events is not None  # noqa: S101 - for the type checker
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        message = aio_pika.Message(
            data, content_type=content_type, content_encoding="utf-8", delivery_mode=1, priority=0
        )
        await self._events.publish(message, key, mandatory=False)

    async def _told(self, message: AbstractIncomingMessage) -> None:
        """A control message: those that it names act, and answer where an answer is wanted."""
        order = json.loads(message.body)
        named = order.get("destination")
        for hostname, worker in list(self.workers.items()):
            if not worker.alive or (named is not None and hostname not in named):
                continue
            answer = await worker.obey(order["method"], order["arguments"])
            if order.get("reply_to") and answer is not None:
                assert self._replies is not None  # noqa: S101 - for the type checker
                reply = aio_pika.Message(
                    json.dumps({hostname: answer}).encode(),
                    content_type="application/json",
                    headers={"ticket": order["ticket"], "clock": 1},
                )
                await self._replies.publish(reply, order["reply_to"]["routing_key"], mandatory=False)


class SimulatedWorker:
    """One of them. `tasks` are the messages that it was given, by id."""

    def __init__(
        self, crowd: Crowd, hostname: str, *, pid: int = 100, slots: int = 1, kinds: tuple[str, ...] = ("shop.add",)
    ) -> None:
        self._crowd = crowd
        self.hostname = hostname
        self.pid = pid
        self.slots = slots
        self.kinds = kinds
        self.clock = 0
        self.processed = 0
        self.active = 0
        self.alive = True
        #: `-E --without-heartbeat`: it says that it lives when it is asked to.
        self.hoarse = False
        #: By how much its clock is wrong.
        self.behind_s = 0.0
        self.born = time.time()
        self.tasks: dict[str, Mapping[str, Any]] = {}
        self.knows: set[str] = set()
        self.given = asyncio.Event()
        self.revoked: list[str] = []
        self._inboxes: dict[str, tuple[AbstractQueue, str]] = {}

    def event(self, type_: str, **fields: Any) -> dict[str, Any]:
        """An event of it; `ago_s` seconds old."""
        self.clock += 1
        ago_s = fields.pop("ago_s", 0.0)
        common = {"hostname": self.hostname, "utcoffset": 0, "pid": self.pid, "clock": self.clock}
        if type_.startswith("worker-"):
            common |= {"freq": 2.0, "active": self.active, "processed": self.processed, "loadavg": [0.1, 0.2, 0.3]}
            common |= _SOFTWARE
        return {**common, **fields, "timestamp": time.time() - self.behind_s - ago_s, "type": type_}

    async def say(self, type_: str, **fields: Any) -> None:
        """Publish an event."""
        await self._crowd.publish(self.event(type_, **fields), type_.replace("-", ".", 1))

    async def beat(self, every_s: float) -> None:
        """Say that it lives, for ever."""
        while True:
            await self.say("worker-heartbeat")
            await asyncio.sleep(every_s)

    async def say_together(self, *events: dict[str, Any]) -> None:
        """Publish events of tasks as one message."""
        await self._crowd.publish(list(events), "task.multi")

    async def obey(self, method: str, arguments: Mapping[str, Any]) -> Any:
        """What a worker answers to a control message."""
        if method == "add_consumer":
            await self._consume(arguments)
            return {"ok": f"add consumer {arguments['queue']}"}
        if method == "heartbeat" and self.hoarse:
            said = self.event("worker-heartbeat", freq=5)
            await self._crowd.publish(
                {key: said[key] for key in said.keys() - {"active", "processed", "loadavg"}}, "worker.heartbeat"
            )
        if method == "revoke":
            self.revoked += arguments["task_id"]
            return None
        pool = {"implementation": "celery.concurrency.prefork:TaskPool", "max-concurrency": self.slots}
        uptime = time.time() - self.born
        answers: dict[str, Any] = {
            "ping": {"ok": "pong"},
            "enable_events": {"ok": "task events already enabled"},
            "stats": {"pid": self.pid, "pool": pool, "broker": {"virtual_host": "/"}, "uptime": uptime},
            "registered": list(self.kinds),
            "active_queues": [{"name": "celery"}, *({"name": name} for name in self._inboxes)],
            "query_task": {one: ["active", {}] for one in arguments.get("ids", ()) if one in self.knows},
        }
        return answers.get(method)

    async def _consume(self, arguments: Mapping[str, Any]) -> None:
        name = arguments["queue"]
        if name in self._inboxes:
            return
        exchange = await self._crowd.channel.declare_exchange(arguments["exchange"], "direct", durable=True)
        queue = await self._crowd.channel.declare_queue(name, durable=True, arguments=arguments["queue_arguments"])
        await queue.bind(exchange, arguments["routing_key"])
        self._inboxes[name] = queue, await queue.consume(self._given)

    async def _given(self, message: AbstractIncomingMessage) -> None:
        headers = dict(message.headers)
        await message.ack()
        self.tasks[str(headers["id"])] = headers
        self.knows.add(str(headers["id"]))
        self.given.set()

    async def next_task(self) -> str:
        """The id of the next task that it is given."""
        await self.given.wait()
        self.given.clear()
        return list(self.tasks)[-1]

    async def die(self) -> None:
        """As if the machine had lost its power."""
        self.alive = False
        for queue, tag in self._inboxes.values():
            await queue.cancel(tag)


def a_task() -> str:
    """The id of a task that somebody else sent."""
    return str(uuid4())
