"""The contract as an AsyncAPI 3 document: everything a program needs to take part without our code.

Channels are what one publishes to (an exchange and a routing key) and what one consumes (a queue). AMQP's bindings do
not know queue arguments, binding keys and message properties: they stand in `x-` fields, said in the description.
Payloads are the JSON Schemas beside the document.
"""

from typing import Any, Final

from schemas import topology
from schemas.base import MAX_MESSAGE_BYTES
from schemas.catalog import (
    COMMANDS,
    ENVELOPES,
    EVENTS,
    HEARTBEATS,
    LOGS,
    REPLIES,
    ROADS,
    SUBMISSIONS,
    Party,
    Road,
    messages_of,
)
from schemas.envelope import VERSION
from schemas.ids import WORKER_ID_PATTERN
from schemas.worker import MAX_HELD, MAX_SLOTS

_BINDING: Final = "0.3.0"
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"

_ABOUT: Final = f"""\
What travels between the workers, the coordinators and the submitters of a Farmhand farm, over RabbitMQ (AMQP 0-9-1).

A worker joins in this order: connect; declare its queue (channel commands) with exactly the arguments in x-arguments;
consume it exclusively; publish worker.online with epoch 0. The answer welcome carries its epoch and the seconds between
heartbeats; from then on every envelope carries that epoch. seq grows with every envelope of one instance (one life of
the process).

One AMQP message is an envelope with a list of events or commands, JSON in UTF-8 of at most {MAX_MESSAGE_BYTES} bytes:
a sender splits its list to fit. A worker has at most {MAX_SLOTS} slots and lists at most {MAX_HELD} attempts.
Fields and types that a receiver does not know it ignores, so that both sides may be one version apart. Refused are NUL
characters, lone surrogates, integers beyond 64 bits and numbers that are not finite; a message that is refused is kept
aside by the coordinator, with the reason.

Any message may be lost, repeated, late or out of order. task.finished is sent again until a verdict comes; a heartbeat
lists everything that the worker holds, and what differs is said again. A command about an attempt that is known already
is answered with its state, never with a second run.

Publish with user_id set to the name that you logged in with, and the last part of the routing key equal to the
envelope's worker (or submitter). Where AMQP's bindings have no field: x-arguments are the arguments a queue is declared
with, x-keys the keys that bind it to the exchange, x-consume how it is consumed. Headers that are listed for a message
are the properties of an AMQP message (basic properties), under AMQP's own names."""

_TEXTS: Final[dict[str, str]] = {
    EVENTS.name: "What a worker says that must not be lost.",
    HEARTBEATS.name: "Heartbeats: an old one is worth nothing, so they are transient and unconfirmed.",
    LOGS.name: "Log chunks. When the queue is full the broker refuses: keep them and send them later.",
    COMMANDS.name: "Commands to one worker, from its own queue.",
    SUBMISSIONS.name: "Jobs. Answered on reply_to, one answer for each job, when the message names one.",
    REPLIES.name: "The answer to a submission, on the queue that it named in reply_to.",
}
_VERBS: Final = {
    EVENTS.name: "Report",
    HEARTBEATS.name: "Beat",
    LOGS.name: "Log",
    COMMANDS.name: "Command",
    SUBMISSIONS.name: "Submit",
    REPLIES.name: "Reply",
}


def document() -> dict[str, Any]:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Farmhand",
            "version": str(VERSION),
            "license": {"name": "Apache-2.0"},
            "description": _ABOUT,
        },
        "defaultContentType": "application/json",
        "servers": {"broker": _server()},
        "channels": _channels(),
        "operations": _operations(),
        "components": {
            "messages": {road.name: _message(road) for road in ROADS},
            "securitySchemes": {
                "user": {
                    "type": "userPassword",
                    "description": "A user of the broker; its name is every message's user_id.",
                }
            },
        },
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{host}:{port}",
        "pathname": "/{vhost}",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": "The farm's RabbitMQ, 3.10 or newer.",
        "variables": {
            "host": {"default": "127.0.0.1"},
            "port": {"default": "5672"},
            "vhost": {"default": "", "description": "The farm's virtual host; empty for the default one."},
        },
        "security": [_ref("components/securitySchemes/user")],
    }


# --- channels ----------------------------------------------------------------------------------------------


def _channels() -> dict[str, Any]:
    channels = {road.name: _published(road) for road in ROADS if road.exchange}
    for queue in topology.QUEUES:
        roads = [road for road in ROADS if road.queue == queue]
        channels[_queue_id(queue)] = _queued(queue, roads) | {"description": _ABOUT_QUEUES[queue.name]}
    channels[COMMANDS.name] = _queued(topology.worker_queue("{worker}"), [COMMANDS]) | {
        "description": "Declared by its worker before worker.online, and again by a coordinator that finds it gone.",
        "parameters": _parameters(COMMANDS),
        "x-consume": {"exclusive": True, "ack": True},
    }
    channels[REPLIES.name] = {
        "address": None,
        "description": _TEXTS[REPLIES.name],
        "messages": _messages([REPLIES]),
    }
    return channels


_ABOUT_QUEUES: Final[dict[str, str]] = {
    topology.EVENTS_QUEUE: "Events and submissions, on their way to a coordinator.",
    topology.HEARTBEATS_QUEUE: "Heartbeats, on their way to a coordinator.",
    topology.LOGS_QUEUE: "Log chunks, on their way to a coordinator.",
    topology.PARKING_QUEUE: "What the broker gives up on; coordinators put it into the table of parked messages.",
}


def _queue_id(queue: topology.Queue) -> str:
    return queue.name.removeprefix("farmhand.") + "Queue"


def _published(road: Road) -> dict[str, Any]:
    exchange = next(one for one in topology.EXCHANGES if one.name == road.exchange)
    return {
        "address": road.key,
        "description": _TEXTS[road.name],
        "messages": _messages([road]),
        "parameters": _parameters(road),
        "bindings": {
            "amqp": {
                "is": "routingKey",
                "exchange": {"name": exchange.name, "type": exchange.type, "durable": True, "autoDelete": False},
                "bindingVersion": _BINDING,
            }
        },
    }


def _queued(queue: topology.Queue, roads: list[Road]) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": queue.name,
        "messages": _messages(roads),
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False},
                "bindingVersion": _BINDING,
            }
        },
        "x-arguments": dict(queue.arguments),
    }
    if queue.keys:
        channel["x-keys"] = {topology.EVENTS_EXCHANGE: list(queue.keys)}
    return channel


def _parameters(road: Road) -> dict[str, Any]:
    name = road.placeholder
    if name is None:
        return {}
    return {name: {"description": f"The {name}'s name, the same as in the envelope; it matches {WORKER_ID_PATTERN}"}}


def _messages(roads: list[Road]) -> dict[str, Any]:
    return {road.name: _ref(f"components/messages/{road.name}") for road in roads}


# --- operations --------------------------------------------------------------------------------------------


def _operations() -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for road in ROADS:
        if road is REPLIES:
            continue  # said as the reply of a submission
        taken_from = COMMANDS.name if road is COMMANDS else _queue_id(road.queue) if road.queue else ""
        given_to = road.name
        operations[f"{road.sender}{_VERBS[road.name]}"] = _operation("send", road, road.sender, given_to)
        operations[f"{road.receiver}Takes{road.name.capitalize()}"] = _operation(
            "receive", road, road.receiver, taken_from
        )
    reply = {
        "address": {"location": "$message.header#/reply_to"},
        "channel": _ref(f"channels/{REPLIES.name}"),
        "messages": [_ref(f"channels/{REPLIES.name}/messages/{REPLIES.name}")],
    }
    for operation in operations.values():
        if operation["messages"][0]["$ref"].endswith(f"/{SUBMISSIONS.name}"):
            operation["reply"] = reply
    return operations


def _operation(action: str, road: Road, party: Party, channel: str) -> dict[str, Any]:
    amqp: dict[str, Any] = {"deliveryMode": 2 if road.persistent else 1, "mandatory": road.mandatory, "timestamp": True}
    if action == "receive":
        amqp = {"ack": True}
    return {
        "action": action,
        "summary": _TEXTS[road.name],
        "tags": [{"name": party.value}],
        "channel": _ref(f"channels/{channel}"),
        "messages": [_ref(f"channels/{channel}/messages/{road.name}")],
        "bindings": {"amqp": amqp | {"bindingVersion": _BINDING}},
    }


# --- messages ----------------------------------------------------------------------------------------------


def _message(road: Road) -> dict[str, Any]:
    entries = messages_of(road)
    message: dict[str, Any] = {
        "name": road.name,
        "title": ", ".join(entry.name for entry in entries),
        "summary": _TEXTS[road.name],
        "contentType": "application/json",
        "headers": _properties(road),
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": _payload(road)},
        "bindings": {"amqp": {"contentEncoding": "utf-8", "bindingVersion": _BINDING}},
    }
    if road in (SUBMISSIONS, REPLIES):
        message["correlationId"] = {"location": "$message.header#/correlation_id"}
    return message


def _payload(road: Road) -> dict[str, Any]:
    """The envelope, with a list of nothing but what takes this road."""
    entries = messages_of(road)
    if entries[0].alone:
        return {"$ref": f"./jsonschema/{entries[0].name}.json"}
    envelope = next(name for name, model in ENVELOPES.items() if model is road.envelope)
    items = {"oneOf": [{"$ref": f"./jsonschema/{entry.name}.json"} for entry in entries]}
    key = "commands" if road is COMMANDS else "events"
    return {
        "allOf": [
            {"$ref": f"./jsonschema/{envelope}.json"},
            {"type": "object", "properties": {key: {"type": "array", "items": items}}},
        ]
    }


def _properties(road: Road) -> dict[str, Any]:
    known: dict[str, Any] = {
        "content_type": {"type": "string", "const": "application/json"},
        "message_id": {"type": "string", "minLength": 1, "description": "Unique."},
        "user_id": {"type": "string", "description": "The broker user that it was published by; the broker checks it."},
        "timestamp": {"type": "integer", "description": "When it was published, in seconds since 1970."},
    }
    required = ["content_type", "message_id", "user_id"]
    if road is SUBMISSIONS:
        known["reply_to"] = {"type": "string", "description": "Where the answer goes; without it there is none."}
        known["correlation_id"] = {"type": "string", "description": "Repeated in the answer."}
    if road is REPLIES:
        known["correlation_id"] = {"type": "string", "description": "That of the submission."}
    return {"type": "object", "required": required, "properties": known}


def _ref(path: str) -> dict[str, str]:
    return {"$ref": f"#/{path}"}
