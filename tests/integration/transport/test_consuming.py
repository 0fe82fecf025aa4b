"""Deliveries and their acknowledgement, on a real broker."""

import asyncio
from collections.abc import Sequence

import pytest

from coordinator.operations.ports import Delivery
from coordinator.proof.proxy import Proxy
from coordinator.transport import Broker, Consumer
from schemas.topology import (
    EVENTS,
    EVENTS_EXCHANGE,
    EVENTS_QUEUE,
    HEARTBEATS,
    LOGS,
    PARKING,
    PARKING_QUEUE,
    QUEUES,
    Queue,
)
from tests.integration.transport.road import Inbox, OtherSide, running

MANY = 5000


def numbered(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def settle_until(consumer: Consumer, inbox: Inbox, count: int) -> set[bytes]:
    """Settle what comes until *count* different bodies have come; these bodies."""
    seen: set[bytes] = set()
    while len(seen) < count:
        await inbox.until(lambda: bool(inbox.deliveries))
        batch, inbox.deliveries = inbox.deliveries, []
        seen.update(delivery.body for delivery in batch)
        await consumer.settle(batch)
    return seen


async def test_a_delivery_says_all_that_the_message_says(amqp_url: str) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    broker.consume(EVENTS, inbox)
    async with running(broker):
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b'{"a":1}', {"traceparent": "00-1", "n": 3})
        (delivery,) = await inbox.take(1)
    assert delivery.queue == EVENTS_QUEUE
    assert delivery.routing_key == "ev.w1"
    assert delivery.body == b'{"a":1}'
    assert delivery.tag == 1
    assert delivery.user_id == broker.user
    assert delivery.message_id
    assert delivery.content_type == "application/json"
    assert not delivery.redelivered
    assert delivery.headers == {"traceparent": "00-1", "n": 3}


async def test_each_kind_of_message_comes_by_its_own_queue(amqp_url: str, other: OtherSide) -> None:
    broker = Broker(amqp_url, coordinator="c1")
    inboxes = {queue.name: Inbox() for queue in (EVENTS, HEARTBEATS, LOGS)}
    for queue in (EVENTS, HEARTBEATS, LOGS):
        broker.consume(queue, inboxes[queue.name])
    async with running(broker):
        for key in ("ev.w1", "job.me", "hb.w1", "log.w1"):
            await other.publish(key, key.encode())
        events = await inboxes[EVENTS.name].take(2)
        assert {delivery.body for delivery in events} == {b"ev.w1", b"job.me"}
        assert [delivery.body for delivery in await inboxes[HEARTBEATS.name].take(1)] == [b"hb.w1"]
        assert [delivery.body for delivery in await inboxes[LOGS.name].take(1)] == [b"log.w1"]


async def test_thousands_of_messages_are_acknowledged_in_batches_and_each_once(amqp_url: str, other: OtherSide) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox)
    async with running(broker):
        await other.publish("ev.w1", *numbered(MANY))
        seen = await settle_until(consumer, inbox, MANY)
    assert seen == set(numbered(MANY))
    assert consumer.counts.received == MANY
    assert consumer.counts.acknowledged == MANY
    # The broker closes a channel that acknowledges a tag twice.
    assert consumer.counts.channels == 1
    assert await other.ready(EVENTS_QUEUE) == 0


async def test_what_a_dropped_connection_held_comes_again_and_nothing_is_lost(cable: Proxy, other: OtherSide) -> None:
    broker, inbox = Broker(cable.url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox, prefetch=300)
    async with running(broker):
        await other.publish("ev.w1", *numbered(MANY))
        held = await inbox.take(300)
        await consumer.settle(held[:100])
        cable.unplug()
        await cable.plug()
        settled = {delivery.body for delivery in held[:100]}
        # What was settled may come again as well: the acknowledgement was on its way when the cable was cut.
        seen = await settle_until(consumer, inbox, MANY - len(settled))
        await consumer.settle([])
        while seen | settled != set(numbered(MANY)):
            seen |= await settle_until(consumer, inbox, 1)
    assert await other.ready(EVENTS_QUEUE) == 0
    assert consumer.counts.channels == 2


async def test_settling_what_came_on_a_channel_that_is_gone_acknowledges_nothing(
    cable: Proxy, other: OtherSide
) -> None:
    broker, inbox = Broker(cable.url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox)
    async with running(broker):
        await other.publish("ev.w1", *numbered(10))
        old = await inbox.take(10)
        cable.unplug()
        await cable.plug()
        new = await inbox.take(10)
        assert {delivery.channel for delivery in new}.isdisjoint({delivery.channel for delivery in old})
        assert all(delivery.redelivered for delivery in new)
        await consumer.settle(old)
        assert consumer.counts.forgotten == 10
        await consumer.settle(new[:4])
    assert consumer.counts.acknowledged == 4
    await other.holds(EVENTS_QUEUE, 6)


async def test_a_gap_in_what_is_settled_holds_back_the_acknowledgement(amqp_url: str, other: OtherSide) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox)
    async with running(broker):
        await other.publish("ev.w1", *numbered(10))
        got = await inbox.take(10)
        await consumer.settle([*got[:3], *got[5:]])
    assert consumer.counts.acknowledged == 3
    await other.holds(EVENTS_QUEUE, 7)


async def test_no_more_than_the_prefetch_is_held(amqp_url: str, other: OtherSide) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox, prefetch=10)
    async with running(broker):
        await other.publish("ev.w1", *numbered(50))
        held = await inbox.take(10)
        assert await other.ready(EVENTS_QUEUE) == 40
        await consumer.settle(held)
        await inbox.take(10)
        assert await other.ready(EVENTS_QUEUE) == 30


async def test_after_stop_nothing_is_handed_over_and_what_was_can_still_be_settled(
    amqp_url: str, other: OtherSide
) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox)
    async with running(broker):
        await other.publish("ev.w1", *numbered(5))
        held = await inbox.take(5)
        broker.stop_receiving()
        await other.publish("ev.w1", b"late")
        await consumer.settle(held)
        await broker.close()
        assert inbox.deliveries == []
    assert consumer.counts.acknowledged == 5
    await other.holds(EVENTS_QUEUE, 1)


@pytest.mark.parametrize("queue", [EVENTS, HEARTBEATS], ids=lambda queue: queue.name)
async def test_a_queue_deleted_in_the_middle_is_declared_and_consumed_again(
    amqp_url: str, other: OtherSide, queue: Queue
) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    key = queue.keys[0].replace("#", "w1")
    consumer = broker.consume(queue, inbox)
    async with running(broker):
        await other.publish(key, b"before")
        before = await inbox.take(1)
        await other.delete(queue.name)
        while await other.ready(queue.name) is None:
            pass
        await publish_until_it_arrives(other, inbox, key)
        await consumer.settle(before)
    assert consumer.counts.channels == 2
    assert consumer.counts.forgotten == 1


async def publish_until_it_arrives(other: OtherSide, inbox: Inbox, key: str) -> None:
    """Publish until something is bound to *key* (unroutable messages raise nothing here), then wait for it."""
    while not inbox.deliveries:
        await other.publish(key, b"after")
    await inbox.take(1)


async def test_all_queues_and_the_exchange_deleted_in_the_middle_are_built_again(
    amqp_url: str, other: OtherSide
) -> None:
    broker = Broker(amqp_url, coordinator="c1")
    inboxes = {queue.name: Inbox() for queue in QUEUES}
    for queue in QUEUES:
        broker.consume(queue, inboxes[queue.name])
    async with running(broker):
        for queue in (EVENTS, HEARTBEATS, LOGS):
            await other.publish(queue.keys[0].replace("#", "w1"), b"before")
            await inboxes[queue.name].take(1)
        channel = await other.channel(confirms=False)
        await channel.exchange_delete(EVENTS_EXCHANGE)
        await other.delete(*(queue.name for queue in QUEUES))
        for queue in QUEUES:
            while await other.ready(queue.name) is None:
                pass
        for queue in (EVENTS, HEARTBEATS, LOGS):
            await publish_until_it_arrives(other, inboxes[queue.name], queue.keys[0].replace("#", "w1"))


async def test_a_queue_deleted_and_declared_again_by_another_in_one_breath_is_found_again(
    amqp_url: str, other: OtherSide
) -> None:
    # RabbitMQ tells the consumer of a quorum queue nothing then: only its silence does.
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox, idle_s=0.3)
    async with running(broker):
        await other.publish("ev.w1", b"before")
        await consumer.settle(await inbox.take(1))
        channel = await other.channel(confirms=False)
        await asyncio.gather(
            channel.queue_delete(EVENTS_QUEUE),
            channel.queue_declare(EVENTS_QUEUE, durable=True, arguments=dict(EVENTS.arguments)),
        )
        await publish_until_it_arrives(other, inbox, "ev.w1")


async def test_a_consumer_that_hears_nothing_builds_itself_again(amqp_url: str, other: OtherSide) -> None:
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox, idle_s=0.05)
    async with running(broker):
        while consumer.counts.channels < 3:
            await other.ready(EVENTS_QUEUE)
        await other.publish("ev.w1", b"heard")
        await inbox.until(lambda: b"heard" in inbox.bodies)


async def test_a_consumer_that_hears_nothing_because_it_holds_all_it_may_keeps_its_channel(
    amqp_url: str, other: OtherSide
) -> None:
    broker, inbox, watch = Broker(amqp_url, coordinator="c1"), Inbox(), Inbox()
    holder = broker.consume(EVENTS, inbox, idle_s=0.05, prefetch=3)
    beside = broker.consume(HEARTBEATS, watch, idle_s=0.05)
    async with running(broker):
        await other.publish("ev.w1", *numbered(5))
        await inbox.take(3)
        channels = holder.counts.channels
        begun = beside.counts.channels
        while beside.counts.channels < begun + 5:
            await other.ready(EVENTS_QUEUE)
        assert holder.counts.channels == channels
        assert not inbox.deliveries


async def test_an_error_of_the_sink_ends_the_run(amqp_url: str, other: OtherSide) -> None:
    def sink(_: Sequence[Delivery]) -> None:
        raise ZeroDivisionError

    broker = Broker(amqp_url, coordinator="c1")
    broker.consume(EVENTS, sink)
    await broker.open()
    await other.publish("ev.w1", b"x")
    with pytest.raises(ExceptionGroup) as raised:
        await broker.run()
    assert raised.group_contains(ZeroDivisionError, depth=2)
    await other.holds(EVENTS_QUEUE, 1)


async def test_what_the_broker_gives_up_on_comes_out_of_the_parking_queue_with_its_first_key(
    amqp_url: str, other: OtherSide
) -> None:
    await other.declare(
        "short-lived", **{"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": PARKING_QUEUE}
    )
    broker, inbox = Broker(amqp_url, coordinator="c1"), Inbox()
    consumer = broker.consume(PARKING, inbox)
    async with running(broker):
        await broker.courier.publish_raw("", "short-lived", b"given up")
        (parked,) = await inbox.take(1)
        assert parked.queue == PARKING_QUEUE
        assert parked.routing_key == "short-lived"
        assert parked.headers["x-first-death-reason"] == "expired"
        assert parked.body == b"given up"
        await consumer.settle([parked])
    assert await other.ready(PARKING_QUEUE) == 0
