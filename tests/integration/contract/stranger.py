"""A worker and a submitter by somebody who has nothing of ours but `asyncapi.yaml` and the JSON Schemas beside it.

    python -I stranger.py ASYNCAPI AMQP_URL

Exchange, routing keys, queue, arguments, properties and delivery modes come from the document; whatever is sent or
heard is checked against its schema. Prints one JSON object: what was heard, and which of our packages were imported
(none).
"""

import asyncio
import json
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aio_pika
import yaml
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

OURS = ("coordinator", "schemas", "worker_agent", "tests")


class Contract:
    """The document."""

    def __init__(self, path: Path) -> None:
        self._said = yaml.safe_load(path.read_text())
        self._folder = path.parent
        self._registry: Registry[Any] = Registry(retrieve=self._schema)  # type: ignore[call-arg]

    def _schema(self, uri: str) -> Resource[Any]:
        return Resource.from_contents(json.loads((self._folder / uri.removeprefix("doc:/")).read_text()))

    def operation(self, party: str, action: str, channel: str) -> dict[str, Any]:
        """What *party* does with *channel*."""
        return next(
            one
            for one in self._said["operations"].values()
            if (one["action"], one["channel"]["$ref"]) == (action, f"#/channels/{channel}")
            and {"name": party} in one["tags"]
        )

    def at(self, reference: str) -> Any:
        """What a reference leads to."""
        found = self._said
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
            if set(found) == {"$ref"}:
                found = self.at(found["$ref"])
        return found

    def check(self, message: dict[str, Any], headers: dict[str, Any], payload: Any) -> None:
        """Both parts of a message as its schemas want them; `ValidationError` says what is not."""
        formats = FormatChecker()
        Draft202012Validator(message["headers"], format_checker=formats).validate(headers)
        schema = {"$id": "doc:/asyncapi.yaml"} | message["payload"]["schema"]
        Draft202012Validator(schema, registry=self._registry, format_checker=formats).validate(payload)


class Stranger:
    """Its connection, and what it hears."""

    def __init__(self, contract: Contract, connection: Any, channel: AbstractChannel, names: dict[str, str]) -> None:
        self.contract = contract
        self.user = connection.url.user
        self.channel = channel
        self.names = names
        self.heard: list[tuple[str, Any]] = []
        self._news = asyncio.Condition()

    async def send(self, party: str, channel_name: str, payload: dict[str, Any], **properties: str) -> None:
        """Publish *payload* as *party* does to this channel."""
        operation = self.contract.operation(party, "send", channel_name)
        channel = self.contract.at(operation["channel"]["$ref"])
        headers = {
            "content_type": "application/json",
            "message_id": str(uuid.uuid4()),
            "user_id": self.user,
            **properties,
        }
        payload = json.loads(json.dumps(payload))
        self.contract.check(self.contract.at(operation["messages"][0]["$ref"]), headers, payload)
        amqp = operation["bindings"]["amqp"]
        exchange = await self.channel.get_exchange(channel["bindings"]["amqp"]["exchange"]["name"], ensure=False)
        await exchange.publish(
            aio_pika.Message(json.dumps(payload).encode(), delivery_mode=amqp["deliveryMode"], **headers),
            channel["address"].format(**self.names),
            mandatory=amqp["mandatory"],
        )

    async def listen(self, party: str, channel_name: str) -> None:
        """Declare the queue of this channel and consume it, as the document says."""
        operation = self.contract.operation(party, "receive", channel_name)
        channel = self.contract.at(operation["channel"]["$ref"])
        wanted = channel["bindings"]["amqp"]["queue"]
        queue = await self.channel.declare_queue(
            wanted["name"].format(**self.names),
            durable=wanted["durable"],
            exclusive=wanted["exclusive"],
            auto_delete=wanted["autoDelete"],
            arguments=channel["x-arguments"],
        )
        message = self.contract.at(operation["messages"][0]["$ref"])
        await queue.consume(
            lambda one: self.hear(channel_name, message, one), exclusive=channel["x-consume"]["exclusive"]
        )

    async def listen_for_replies(self) -> str:
        """A queue of its own for answers; its name."""
        reply = self.contract.operation("submitter", "send", "submissions")["reply"]
        assert reply["address"]["location"] == "$message.header#/reply_to"
        queue = await self.channel.declare_queue(exclusive=True)
        message = self.contract.at(reply["messages"][0]["$ref"])
        await queue.consume(lambda one: self.hear("replies", message, one))
        return queue.name

    async def hear(self, channel_name: str, message: dict[str, Any], incoming: AbstractIncomingMessage) -> None:
        """Check what came, and keep it."""
        names = ("content_type", "message_id", "user_id", "correlation_id")
        headers = {name: getattr(incoming, name) for name in names if getattr(incoming, name) is not None}
        payload = json.loads(incoming.body)
        self.contract.check(message, headers, payload)
        await incoming.ack()
        things = (
            payload["commands"]
            if channel_name == "commands"
            else [payload | {"correlation": headers["correlation_id"]}]
        )
        async with self._news:
            self.heard.extend((channel_name, thing) for thing in things)
            self._news.notify_all()

    async def wait_for(self, channel_name: str, fits: Callable[[Any], bool]) -> Any:
        """The first thing heard that fits."""
        async with asyncio.timeout(60), self._news:
            while True:
                for name, thing in self.heard:
                    if name == channel_name and fits(thing):
                        return thing
                await self._news.wait()

    async def command(self, kind: str) -> Any:
        """The first command of this type."""
        return await self.wait_for("commands", lambda command: command["type"] == kind)


async def play(stranger: Stranger) -> dict[str, Any]:
    """A short life of a worker, and a job for it."""
    worker, submitter = stranger.names["worker"], stranger.names["submitter"]
    instance, epoch, seq = str(uuid.uuid4()), 0, 0

    async def say(channel: str, *events: dict[str, Any]) -> None:
        nonlocal seq
        seq += 1
        envelope = {"v": 1, "worker": worker, "epoch": epoch, "instance": instance, "seq": seq, "sent_at": now()}
        await stranger.send("worker", channel, envelope | {"events": list(events)})

    await stranger.listen("worker", "commands")
    online = {"boot_id": "1", "software": "stranger 1", "kinds": ["strange"], "queues": ["default"]}
    await say("events", {"type": "worker.online", **online})
    welcome = await stranger.command("welcome")
    epoch = welcome["epoch"]
    await say("heartbeats", {"type": "worker.heartbeat", "holds": []})

    job = {"name": "strange job", "tasks": [{"name": "one", "kind": "strange", "commands": [{"name": "anything"}]}]}
    envelope = {"v": 1, "submitter": submitter, "sent_at": now(), "events": [{"type": "job.submit", "job": job}]}
    reply_to = await stranger.listen_for_replies()
    await stranger.send("submitter", "submissions", envelope, reply_to=reply_to, correlation_id="c-1")
    reply = await stranger.wait_for("replies", lambda reply: reply["correlation"] == "c-1")

    given = (await stranger.command("assign"))["attempts"][0]
    attempt = {"task": given["task"], "attempt": given["attempt"]}
    await say("events", {"type": "task.started", **attempt})
    await say(
        "logs", {"type": "task.log", **attempt, "chunk": 0, "day": given["day"], "text": "hello from a stranger\n"}
    )
    await say("heartbeats", {"type": "worker.heartbeat", "holds": [{**attempt, "phase": "running", "done": 0}]})
    await say("events", {"type": "task.progress", **attempt, "done": 1, "total": 1})
    await say("events", {"type": "task.finished", **attempt, "outcome": "completed", "result": {"strange": True}})
    verdict = await stranger.command("verdict")
    await say("events", {"type": "worker.offline", "reason": "that was all"})
    return {"welcome": welcome, "reply": reply, "assigned": given, "verdicts": verdict["verdicts"]}


def now() -> str:
    """This instant, as the contract writes instants."""
    return datetime.now(UTC).isoformat()


async def main(document: str, amqp_url: str) -> None:
    """Play, and tell."""
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        names = {"worker": "stranger", "submitter": "somebody"}
        told = await play(Stranger(Contract(Path(document)), connection, channel, names))
    told["ours"] = sorted(name for name in sys.modules if name.partition(".")[0] in OURS)
    print(json.dumps(told))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
