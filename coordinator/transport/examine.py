"""The doctor's look at the broker, over AMQP: what is there, whether it takes our messages, who consumes.

It changes nothing: queues that are there are asked for their arguments, those that are not are not made. Bindings
cannot be listed over AMQP, so a message that everybody ignores goes through each of them.

Promises: whatever is wrong is an answer, never an exception.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from aio_pika.abc import AbstractConnection
from aiormq import spec
from aiormq.abc import AbstractChannel
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    DeliveryError,
    PublishError,
)

from coordinator.transport.channels import close_channel, open_channel
from coordinator.transport.connection import BrokerRefusedError, Link, LostError, losses, quiet_client, underlay
from coordinator.transport.declare import explain
from schemas import topology
from schemas.topology import EVENTS_EXCHANGE, EXCHANGES, QUEUES, Queue, canary_key
from schemas.views import CheckState, CheckView

OLDEST: Final = (3, 10)
#: How long one question may take: a broker that is in alarm takes no messages.
PATIENCE_S: Final = 5.0
#: Messages that may wait for a coordinator.
MANY: Final = 10_000
_BROKER_EVENTS: Final = "amq.rabbitmq.event"
_AGAIN: Final = "start a coordinator: whoever comes first declares it (or restart one)"


def _say(
    name: str, said: str, remedy: str = "", *, bad: bool = False, state: CheckState = CheckState.WRONG
) -> CheckView:
    return CheckView(
        part="broker", name=name, said=said, state=state if bad else CheckState.OK, remedy=remedy if bad else ""
    )


async def examine(amqp_url: str, *, agents: Sequence[str] = (), coordinators: int | None = None) -> list[CheckView]:
    """Look at the broker at *amqp_url*; *agents* are online and *coordinators* at work, as far as is known."""
    quiet_client()
    try:
        link = Link(amqp_url, coordinator="doctor", purpose="doctor")
        connection = await link.dial()
    except (BrokerRefusedError, LostError) as error:
        remedy = (
            "see FARMHAND_AMQP_URL" if isinstance(error, BrokerRefusedError) else "start it, or set FARMHAND_AMQP_URL"
        )
        said = str(error) if isinstance(error, BrokerRefusedError) else f"no broker answers: {error}"
        return [
            CheckView(part="broker", name="answers", state=CheckState.WRONG, said=said, remedy=remedy, unreachable=True)
        ]
    try:
        return await _Look(connection, link.user).all(agents, coordinators)
    except LostError as error:
        return [_say("answers", f"it does not go on: {error}", "see its log", bad=True)]
    finally:
        try:
            async with asyncio.timeout(PATIENCE_S):
                await connection.close()
        except Exception:  # noqa: BLE001, S110 - it is of no more use, whatever happens
            pass


class _Look:
    """One look over one connection."""

    def __init__(self, connection: AbstractConnection, user: str) -> None:
        self._connection = connection
        self._user = user
        self._channel: AbstractChannel | None = None
        self._messages: dict[str, tuple[int, int]] = {}

    async def all(self, agents: Sequence[str], coordinators: int | None) -> list[CheckView]:
        """Everything."""
        checks = [_say("answers", "it does"), self._version()]
        checks += [await self._exchange(exchange.name, exchange.type) for exchange in EXCHANGES]
        checks += [await self._queue(queue) for queue in QUEUES]
        checks += await self._bindings()
        if coordinators is not None:
            checks += self._consumed(coordinators)
        checks.append(await self._agents(agents))
        checks.append(await self._plugin())
        if self._channel is not None:
            await close_channel(self._channel)
        return checks

    def _version(self) -> CheckView:
        properties = underlay(self._connection).server_properties
        product, version = (str(_text(properties.get(name))) for name in ("product", "version"))
        numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
        return _say("version", f"{product} {version}", "use RabbitMQ 3.10 or newer", bad=numbers < OLDEST)

    async def _open(self) -> AbstractChannel:
        if self._channel is None or self._channel.is_closed:
            self._channel = await open_channel(self._connection, confirms=True)
        return self._channel

    async def _exchange(self, name: str, kind: str) -> CheckView:
        label = f"exchange {name}"
        try:
            with losses():
                await (await self._open()).exchange_declare(name, exchange_type=kind, passive=True, timeout=PATIENCE_S)
                await (await self._open()).exchange_declare(name, exchange_type=kind, durable=True, timeout=PATIENCE_S)
        except LostError as error:
            return self._refused(label, error)
        return _say(label, "as it should be")

    async def _queue(self, queue: Queue) -> CheckView:
        label = f"queue {queue.name}"
        try:
            with losses():
                channel = await self._open()
                found = await channel.queue_declare(queue.name, passive=True, timeout=PATIENCE_S)
                # It is there, so this makes nothing: the broker compares.
                await channel.queue_declare(
                    queue.name, durable=True, arguments=dict(queue.arguments), timeout=PATIENCE_S
                )
        except LostError as error:
            return self._refused(label, error)
        waiting, consumers = found.message_count or 0, found.consumer_count or 0
        self._messages[queue.name] = waiting, consumers
        return _say(
            label,
            f"{waiting} messages wait, {consumers} consumers",
            "the coordinators do not keep up: see farmhand_transaction_seconds and the database",
            bad=waiting > MANY,
            state=CheckState.WARNING,
        )

    def _refused(self, label: str, error: LostError) -> CheckView:
        match error.__cause__:
            case ChannelNotFoundEntity():
                return _say(label, "is not there", _AGAIN, bad=True)
            case ChannelAccessRefused():
                said = f"user {self._user!r} has no right to it"
                return _say(label, said, "give it configure, write and read on farmhand.*", bad=True)
            case ChannelPreconditionFailed() as cause:
                return _say(label, "is another one", explain(str(cause)), bad=True)
        return _say(label, f"does not answer: {error}", "see the broker's log; is its leader there?", bad=True)

    async def _bindings(self) -> list[CheckView]:
        checks = []
        for queue in QUEUES:
            for key in queue.keys:
                word = key.partition(".")[0]
                checks.append(await self._binding(queue, key, canary_key(word, "doctor")))
                if checks[-1].name == "takes messages":
                    return checks
        return [*checks, _say("takes messages", "it does")]

    async def _binding(self, queue: Queue, key: str, probe: str) -> CheckView:
        label = f"binding {key}"
        properties = spec.Basic.Properties(content_type="application/json", user_id=self._user, expiration="5000")
        try:
            with losses():
                async with asyncio.timeout(PATIENCE_S):
                    await (await self._open()).basic_publish(
                        b"{}", exchange=EVENTS_EXCHANGE, routing_key=probe, properties=properties, mandatory=True
                    )
        except LostError as error:
            match error.__cause__:
                case PublishError():
                    return _say(label, f"nothing binds it to {queue.name}", _AGAIN, bad=True)
                case DeliveryError():
                    return _say(label, f"{queue.name} takes nothing", "is it full, or without a leader?", bad=True)
                case ChannelNotFoundEntity() | ChannelAccessRefused():
                    return self._refused(label, error)
            return _say(
                "takes messages",
                f"nothing was confirmed in {PATIENCE_S:.0f} s",
                "is it short of memory or disk? rabbitmqctl status shows alarms",
                bad=True,
            )
        return _say(label, f"reaches {queue.name}")

    def _consumed(self, coordinators: int) -> list[CheckView]:
        lonely = [name for name, (_, consumers) in self._messages.items() if consumers < coordinators]
        return [
            _say(
                "consumers",
                f"fewer than the {coordinators} coordinators consume {', '.join(lonely)}"
                if lonely
                else "every coordinator consumes",
                "those that do not will connect again by themselves; see /readyz and the log of each",
                bad=bool(lonely),
                state=CheckState.WARNING,
            )
        ]

    async def _agents(self, agents: Sequence[str]) -> CheckView:
        absent, deaf = [], []
        for name in agents:
            try:
                with losses():
                    found = await (await self._open()).queue_declare(
                        topology.worker_queue(name).name, passive=True, timeout=PATIENCE_S
                    )
            except LostError as error:
                if isinstance(error.__cause__, ChannelAccessRefused):
                    return self._refused("queues of workers", error)
                absent.append(name)
            else:
                deaf += [] if found.consumer_count else [name]
        said = [f"{what}: {', '.join(some[:20])}" for what, some in (("missing", absent), ("unheard", deaf)) if some]
        return _say(
            "queues of workers",
            "; ".join(said) or f"{len(agents)} are consumed",
            "agents and coordinators declare them again within 30 s; else restart those agents",
            bad=bool(said),
            state=CheckState.WARNING,
        )

    async def _plugin(self) -> CheckView:
        label = "plugin rabbitmq_event_exchange"
        try:
            with losses():
                await (await self._open()).exchange_declare(_BROKER_EVENTS, passive=True, timeout=PATIENCE_S)
        except LostError as error:
            return _say(
                label,
                "off, or its exchange is in another virtual host"
                if isinstance(error.__cause__, ChannelNotFoundEntity)
                else f"not known: {error}",
                "without it dead workers are noticed by their silence only: rabbitmq-plugins enable "
                "rabbitmq_event_exchange, and event_exchange.vhost in rabbitmq.conf",
                bad=True,
                state=CheckState.WARNING,
            )
        return _say(label, "on")


def _text(value: object) -> object:
    return value.decode() if isinstance(value, bytes) else value
