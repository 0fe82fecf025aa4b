"""The coordinator's side of the wire, played by the test: it says what the test says, and keeps what the agent says."""

import asyncio
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from typing import Any, Self, TypeVar

import aiormq
from aiormq.abc import AbstractChannel, DeliveredMessage

from schemas import topology
from schemas.base import Message
from schemas.envelope import FromWorker, ToWorker, decode_from_worker
from schemas.task import (
    Assign,
    AssignedAttempt,
    Command,
    Judged,
    Phase,
    Resources,
    Revocation,
    Revoke,
    TaskFinished,
    TaskLog,
    Verdict,
    Verdicts,
)
from schemas.worker import BeatAck, RequestedState, RequestState, Reset, Welcome, WorkerHeartbeat, WorkerOnline

E = TypeVar("E", bound=Message)

TODAY = date(2026, 1, 1)


def an_attempt(task: int = 1, attempt: int = 1, *commands: Command, **more: Any) -> AssignedAttempt:
    """An attempt to run; an echo unless something else is said."""
    fields: dict[str, Any] = {
        "job": 1,
        "name": f"task {task}",
        "kind": "exec",
        "commands": list(commands) or [Command(name="echo", parameters={"message": f"hello {task}"})],
        "lease_s": 30.0,
        "directory": f"{task}/{attempt}",
        "day": TODAY,
        "resources": Resources(),
    }
    return AssignedAttempt(task=task, attempt=attempt, **fields | more)


def python(code: str, **parameters: Any) -> Command:
    """A command that runs *code* in an interpreter."""
    return Command(name="exec", parameters={"argv": [sys.executable, "-u", "-c", code], **parameters})


class Peer:
    """Declares what a coordinator declares, consumes all that workers say, and answers when told to."""

    def __init__(self, amqp_url: str, worker: str, *, welcome: bool = True, judge: bool = True) -> None:
        self.amqp_url = amqp_url
        self.worker = worker
        self.epoch = 0
        self.welcomes = welcome
        self.judges = judge
        self.events: list[tuple[FromWorker, Any]] = []
        self.deliveries: list[DeliveredMessage] = []
        self.instances: list[str] = []
        self.heartbeat_s = 0.2
        #: Seconds of the leases that it gives; None: it acknowledges no heartbeat.
        self.lease_s: float | None = None
        self.logs: defaultdict[int, dict[int, str]] = defaultdict(dict)
        self._heard = asyncio.Condition()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Just after its start a broker may answer that a quorum queue has no leader yet: then once more."""
        for _ in range(10):
            try:
                await self._connect()
            except aiormq.exceptions.AMQPError:
                continue
            return
        await self._connect()

    async def _connect(self) -> None:
        self._connection = await aiormq.connect(self.amqp_url)
        self._channel = await self._connection.channel()
        for exchange in topology.EXCHANGES:
            await self._channel.exchange_declare(exchange.name, exchange_type=exchange.type, durable=True)
        for queue in self.queues():
            await self._channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
            for key in queue.keys:
                await self._channel.queue_bind(queue.name, topology.EVENTS_EXCHANGE, key)
        for queue in self.queues():
            if queue is not topology.PARKING:
                await self._channel.basic_consume(queue.name, self.on_message)

    def queues(self) -> Iterable[topology.Queue]:
        return topology.QUEUES

    @property
    def channel(self) -> AbstractChannel:
        return self._channel

    async def close(self) -> None:
        await self._connection.close()

    async def on_message(self, message: DeliveredMessage) -> None:
        envelope, _ = decode_from_worker(message.body)
        if envelope.worker != self.worker:
            return
        assert message.delivery_tag is not None
        await self._channel.basic_ack(message.delivery_tag)
        async with self._heard:
            self.deliveries.append(message)
            self.events.extend((envelope, event) for event in envelope.events)
            for event in envelope.events:
                if isinstance(event, TaskLog):
                    self.logs[event.task][event.chunk] = event.text
            self._heard.notify_all()
        await self._react(envelope)

    async def _react(self, envelope: FromWorker) -> None:
        commands: list[Message] = []
        for event in envelope.events:
            if isinstance(event, WorkerOnline) and self.welcomes:
                if not self.instances or self.instances[-1] != str(envelope.instance):
                    self.instances.append(str(envelope.instance))
                    self.epoch += 1
                commands.append(self.welcome(event))
            if isinstance(event, TaskFinished) and self.judges:
                judged = Judged(task=event.task, attempt=event.attempt, verdict=Verdict.ACCEPTED)
                commands.append(Verdicts(verdicts=[judged]))
            if isinstance(event, WorkerHeartbeat) and self.lease_s is not None:
                refs = [held for held in event.holds if held.phase in (Phase.RECEIVED, Phase.RUNNING)]
                commands.append(BeatAck(seq=envelope.seq, lease_s=self.lease_s, leases=list(refs)))
        if commands:
            await self.say(*commands)

    def welcome(self, online: WorkerOnline, *, keep: bool = True) -> Welcome:
        return Welcome(
            epoch=self.epoch,
            heartbeat_s=self.heartbeat_s,
            lease_s=30.0,
            server_time=datetime.now(UTC),
            keep=list(online.holds) if keep else [],
        )

    async def say(self, *commands: Message, epoch: int | None = None) -> None:
        """Send *commands* to the worker."""
        fields: dict[str, Any] = {"worker": self.worker, "epoch": self.epoch if epoch is None else epoch}
        await self.say_bytes(ToWorker(commands=list(commands), **fields).model_dump_json().encode())

    async def say_bytes(self, body: bytes) -> None:
        await self._channel.basic_publish(body, routing_key=topology.worker_queue(self.worker).name)

    async def assign(self, *attempts: AssignedAttempt) -> None:
        await self.say(Assign(attempts=list(attempts)))

    async def revoke(self, task: int, attempt: int = 1, *, grace_s: float = 5.0) -> None:
        await self.say(Revoke(attempts=[Revocation(task=task, attempt=attempt, reason="test", grace_s=grace_s)]))

    async def reset(self) -> None:
        await self.say(Reset(reason="the test says so"))

    async def request(self, state: RequestedState, *, lazy: bool = True) -> None:
        await self.say(RequestState(state=state, lazy=lazy, reason="the test says so", actor="test"))

    async def judge(self, task: int, verdict: Verdict, attempt: int = 1) -> None:
        await self.say(Verdicts(verdicts=[Judged(task=task, attempt=attempt, verdict=verdict)]))

    async def hear(self, kind: type[E], fits: Callable[[E], bool] = lambda _: True, *, within_s: float = 60.0) -> E:
        """The first event of *kind* that *fits*, taken out, waiting for it if need be."""
        return (await self.hear_with_envelope(kind, fits, within_s=within_s))[1]

    async def hear_with_envelope(
        self, kind: type[E], fits: Callable[[E], bool] = lambda _: True, *, within_s: float = 60.0
    ) -> tuple[FromWorker, E]:
        async with asyncio.timeout(within_s), self._heard:
            while True:
                for index, (_, event) in enumerate(self.events):
                    if isinstance(event, kind) and fits(event):
                        return self.events.pop(index)
                await self._heard.wait()

    async def finished(self, task: int, attempt: int = 1) -> TaskFinished:
        return await self.hear(TaskFinished, lambda event: (event.task, event.attempt) == (task, attempt))

    async def log_of(self, task: int, until: str, *, within_s: float = 60.0) -> str:
        """The log of a task, as soon as its end holds *until*; chunks in order, each once."""
        async with asyncio.timeout(within_s), self._heard:
            while True:
                chunks = self.logs[task]
                last = len(chunks) - 1
                if last in chunks and until in chunks.get(last - 1, "") + chunks[last]:
                    return "".join(chunks[number] for number in range(len(chunks)))
                await self._heard.wait()
