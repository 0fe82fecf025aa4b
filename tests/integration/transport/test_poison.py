"""No message closes our connection, whatever its properties hold: it arrives, and can be refused and kept."""

import struct

import pytest
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal

from coordinator.transport import Broker
from schemas.topology import EVENTS, EVENTS_EXCHANGE
from tests.integration.transport.road import Inbox, OtherSide, running

CONTENT_TYPE, HEADERS, MESSAGE_ID, TIMESTAMP = 1 << 15, 1 << 13, 1 << 7, 1 << 6


def table(inside: bytes) -> bytes:
    return struct.pack(">I", len(inside)) + inside


def nested(depth: int) -> bytes:
    inside = b""
    for _ in range(depth):
        inside = b"\x01kF" + table(inside)
    return table(inside)


async def publish(other: OtherSide, flags: int, properties: bytes, routing_key: str = "ev.w1") -> None:
    """Publish a message whose properties no decent client would encode."""
    channel = await other.channel()
    header = struct.pack(">HHQH", Basic.frame_id, 0, 4, flags) + properties
    payload = (
        marshal(Basic.Publish(exchange=EVENTS_EXCHANGE, routing_key=routing_key), channel.number)
        + struct.pack(">BHI", 2, channel.number, len(header))
        + header
        + b"\xce"
        + marshal(ContentBody(b"evil"), channel.number)
    )
    await channel.write_queue.put(ChannelFrame(payload, should_close=False))  # type: ignore[attr-defined]
    await channel.basic_qos(prefetch_count=1)  # answered after the message was taken
    await channel.close()


@pytest.mark.parametrize(
    ("flags", "properties"),
    [
        pytest.param(TIMESTAMP, struct.pack(">Q", 1_767_225_600_000_000_000), id="a timestamp in nanoseconds"),
        pytest.param(TIMESTAMP, struct.pack(">Q", 2**64 - 1), id="the last of all timestamps"),
        pytest.param(MESSAGE_ID, b"\x04\xff\xfe\xfd\x00", id="a message id that is no text"),
        pytest.param(CONTENT_TYPE, b"\x03a\x00b", id="a content type with a NUL"),
        pytest.param(HEADERS, table(b"\x02\xff\xfeI\x00\x00\x00\x01"), id="a header name that is no text"),
        pytest.param(HEADERS, table(b"\x01kT" + struct.pack(">Q", 2**63)), id="a header with an impossible timestamp"),
        pytest.param(HEADERS, nested(600), id="headers within headers"),
    ],
)
async def test_a_message_with_impossible_properties_arrives_and_the_channel_lives(
    amqp_url: str, other: OtherSide, flags: int, properties: bytes
) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox)
    async with running(broker):
        await publish(other, flags, properties)
        await other.publish("ev.w1", b"good")
        deliveries = await inbox.take(2)
        assert [delivery.body for delivery in deliveries] == [b"evil", b"good"]
        assert "\x00" not in (deliveries[0].content_type or "")
        await consumer.settle(deliveries)
    assert consumer.counts.channels == 1
    assert broker.connections == 2
