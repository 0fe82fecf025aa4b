"""A worker made of nothing but the wire: what a test wants said is said, what the coordinator says is kept."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Self, TypeVar
from uuid import UUID, uuid4

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from pamqp.common import FieldTable

from schemas import topology
from schemas.base import Message
from schemas.envelope import FromWorker, decode_to_worker
from schemas.task import AssignedAttempt, Outcome, TaskFinished, TaskStarted, Verdict
from schemas.worker import Capacity, WorkerHeartbeat, WorkerOnline

C = TypeVar("C", bound=Message)


class WireWorker:
    """One life of a worker. `async with WireWorker(amqp_url, "node-1")` joins; leaving closes the connection only.

    With `named` it tells the name of its connection, so that the broker's word on that is about it.
    """

    def __init__(
        self, amqp_url: str, name: str, *, instance: UUID | None = None, named: bool = False, **online: Any
    ) -> None:
        self.amqp_url = amqp_url
        self.name = name
        self.instance = instance or uuid4()
        self.epoch = 0
        self.seq = 0
        self.commands: list[Message] = []
        self._heard = asyncio.Condition()
        self._given: set[tuple[int, int]] = set()
        self._named = named
        self._connections = 0
        self._online = {"kinds": ["echo"], "queues": ["default"], "capacity": Capacity(slots=2)} | online

    async def __aenter__(self) -> Self:
        await self.join()
        return self

    async def join(self) -> None:
        """Connect, and consume its queue."""
        self._connections += 1
        properties: FieldTable = {"connection_name": self.connection} if self._named else {}
        self._connection = await aio_pika.connect(self.amqp_url, client_properties=properties)
        channel = await self._connection.channel()
        declared = topology.worker_queue(self.name)
        queue = await channel.declare_queue(declared.name, durable=True, arguments=dict(declared.arguments))
        self._exchange = await channel.get_exchange(topology.EVENTS_EXCHANGE, ensure=False)
        await queue.consume(self._hear, exclusive=True)

    @property
    def connection(self) -> str:
        """The name of its newest connection."""
        return topology.consuming_connection(self.name, str(self.instance), self._connections)

    async def vanish(self) -> None:
        """Close the connection without a word to the coordinator."""
        await self._connection.close()

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()

    async def _hear(self, message: AbstractIncomingMessage) -> None:
        envelope, _ = decode_to_worker(message.body)
        await message.ack()
        async with self._heard:
            self.epoch = max(self.epoch, envelope.epoch)
            self.commands.extend(envelope.commands)
            self._heard.notify_all()

    async def say(self, *events: Message, key: str | None = None, **envelope: Any) -> None:
        """Send *events* in one envelope."""
        self.seq += 1
        fields = {
            "worker": self.name,
            "epoch": self.epoch,
            "instance": self.instance,
            "seq": self.seq,
            "sent_at": datetime.now(UTC),
            "events": list(events),
        } | envelope
        await self.say_bytes(FromWorker(**fields).model_dump_json().encode(), key=key or topology.event_key(self.name))

    async def say_bytes(self, body: bytes, *, key: str, user_id: str | None = "") -> None:
        """Send *body* as it is."""
        user = self._connection.url.user if user_id == "" else user_id
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(uuid4()),
            user_id=user,
        )
        await self._exchange.publish(message, key)

    async def online(self, **more: Any) -> None:
        """Say that it is here, and wait for the welcome."""
        await self.say_online_without_waiting(**more)
        await self.hear(lambda command: command.type == "welcome")

    async def say_online_without_waiting(self, **more: Any) -> None:
        """Say that it is here."""
        named = {"connection": self.connection} if self._named else {}
        await self.say(WorkerOnline(boot_id="boot", software="wire 1", **(named | self._online | more)))

    async def beat(self, **more: Any) -> None:
        """A heartbeat."""
        await self.say(WorkerHeartbeat(**more), key=topology.heartbeat_key(self.name))

    async def hear(self, fits: Callable[[Any], bool], *, within_s: float = 60.0) -> Any:
        """The first command that *fits*, taken out of those heard, waiting for it if need be."""
        async with asyncio.timeout(within_s), self._heard:
            while True:
                for index, command in enumerate(self.commands):
                    if fits(command):
                        return self.commands.pop(index)
                await self._heard.wait()

    async def assigned(self, *, again: bool = False) -> AssignedAttempt:
        """The next attempt it is given; one that is sent once more, for want of an answer, only when it is *again*."""
        while True:
            command = await self.hear(lambda one: one.type == "assign")
            first: AssignedAttempt
            first, *rest = command.attempts
            if rest:
                self.commands.insert(0, command.model_copy(update={"attempts": rest}))
            known = (first.task, first.attempt) in self._given
            self._given.add((first.task, first.attempt))
            if known is again:
                return first

    async def start(self, attempt: AssignedAttempt) -> None:
        """Say that it runs."""
        await self.say(TaskStarted(task=attempt.task, attempt=attempt.attempt))

    async def finish(self, attempt: AssignedAttempt, outcome: Outcome = Outcome.COMPLETED, **more: Any) -> None:
        """Say that it ended."""
        await self.say(TaskFinished(task=attempt.task, attempt=attempt.attempt, outcome=outcome, **more))

    async def verdict(self, attempt: AssignedAttempt) -> Verdict:
        """What the coordinator says of its report."""

        def fits(command: Any) -> bool:
            return command.type == "verdict" and any(
                (one.task, one.attempt) == (attempt.task, attempt.attempt) for one in command.verdicts
            )

        command = await self.hear(fits)
        found: list[Verdict] = []
        rest = []
        for one in command.verdicts:
            if (one.task, one.attempt) == (attempt.task, attempt.attempt):
                found.append(one.verdict)
            else:
                rest.append(one)
        if rest:
            self.commands.insert(0, command.model_copy(update={"verdicts": rest}))
        return found[0]


def an_envelope(**fields: Any) -> bytes:
    """The bytes of an envelope with whatever is in it."""
    defaults = {
        "v": 1,
        "worker": "node-1",
        "epoch": 1,
        "instance": str(uuid4()),
        "seq": 1,
        "sent_at": "2026-01-01T00:00:00Z",
        "events": [],
    }
    return json.dumps(defaults | fields).encode()
