"""What the broker itself does to us: closed connections, sudden death, an alarm, users' rights. On one of our own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit

import pytest

from coordinator.local.services import RabbitServer, Services
from coordinator.transport import Broker, UndeliveredError
from schemas.envelope import decode_to_worker
from schemas.topology import EVENTS, EVENTS_EXCHANGE, EVENTS_QUEUE, worker_queue
from schemas.worker import Reset
from tests.integration.transport.road import SOON_S, Inbox, OtherSide, running
from tests.support import services as support

pytestmark = pytest.mark.faults

RESET = Reset(reason="your epoch is over")


@pytest.fixture(scope="module")
def own_broker() -> Iterator[Services]:
    """A broker that these tests may kill."""
    with support.services(given=False, postgres=False) as services:
        yield services


@pytest.fixture
def server(own_broker: Services) -> RabbitServer:
    assert own_broker.rabbitmq is not None
    return own_broker.rabbitmq


@pytest.fixture
async def url(own_broker: Services) -> AsyncIterator[str]:
    """A fresh virtual host on it."""
    async with support.virtual_host(own_broker.amqp_url, own_broker.management_url) as url:
        yield url


async def test_connections_that_the_broker_closes_are_made_again_and_nothing_is_lost(
    server: RabbitServer, url: str
) -> None:
    vhost = urlsplit(url).path[1:]
    broker, inbox = Broker(url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox)
    async with running(broker):
        for number in range(100):
            await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"%d" % number)
        held = await inbox.take(100)
        await consumer.settle(held[:40])
        await asyncio.to_thread(server.ctl, "close_all_connections", "--vhost", vhost, "the test says so")
        again = await inbox.take(60)
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"100")
        again += await inbox.take(1)
        await consumer.settle(held)
        await consumer.settle(again)
    bodies = {delivery.body for delivery in held[:40]} | {delivery.body for delivery in again}
    assert bodies == {b"%d" % number for number in range(101)}
    assert broker.connections == 4
    async with OtherSide.connected(url) as other:
        assert await other.ready(EVENTS_QUEUE) == 0


async def publish_until_confirmed(broker: Broker, body: bytes) -> None:
    """A queue that is being recovered may confirm nothing on the first channel that publishes to it."""
    while True:
        with contextlib.suppress(UndeliveredError):
            return await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", body)


async def test_a_broker_that_dies_and_comes_back_has_lost_nothing_that_it_confirmed(
    server: RabbitServer, url: str
) -> None:
    broker, inbox = Broker(url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox, prefetch=10)
    confirmed: set[bytes] = set()
    async with running(broker):
        for number in range(50):
            body = b"%d" % number
            await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", body)
            confirmed.add(body)
        await inbox.take(10)
        # RabbitMQ writes the registration of a new quorum queue with a delay of seconds; killed before, it finds the
        # queue without a leader for ever. That is not what is tried here.
        await asyncio.to_thread(server.ctl, "eval", "[dets:sync(Table) || Table <- dets:all()].")
        await asyncio.to_thread(server.kill)
        broker.courier.send("w1", 3, [RESET])
        await asyncio.to_thread(server.restart)
        await publish_until_confirmed(broker, b"after")
        seen: set[bytes] = set()
        while seen != confirmed | {b"after"}:
            got = await inbox.take(1)
            seen |= {delivery.body for delivery in got}
            await consumer.settle(got)
    async with OtherSide.connected(url) as other:
        assert await other.ready(EVENTS_QUEUE) == 0
        # Sent while the broker was away, to a queue that did not exist.
        message = await other.get(worker_queue("w1").name)
        assert decode_to_worker(message.body)[0].commands == [RESET]


async def test_an_alarm_stops_publishing_and_neither_deliveries_nor_acknowledgements(
    server: RabbitServer, url: str
) -> None:
    broker, inbox = Broker(url, coordinator="c1"), Inbox()
    consumer = broker.consume(EVENTS, inbox, prefetch=10)
    async with running(broker):
        for number in range(40):
            await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"%d" % number)
        held = await inbox.take(10)
        await asyncio.to_thread(server.ctl, "set_vm_memory_high_watermark", "absolute", "1")
        try:
            waiting = asyncio.create_task(broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"blocked"))
            for _ in range(3):
                await consumer.settle(held)
                held = await inbox.take(10)
            assert not waiting.done()
            assert broker.courier.in_flight == 1
            assert (await broker.standing())[2], "the broker says that it takes nothing"
        finally:
            await asyncio.to_thread(server.ctl, "set_vm_memory_high_watermark", "0.4")
        async with asyncio.timeout(SOON_S):
            try:
                await waiting
            except UndeliveredError:  # on a busy machine the alarm outlasts a publisher's patience, who tries again
                await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"blocked")
        assert not (await broker.standing())[2]
        await consumer.settle(held)
        assert [delivery.body for delivery in await inbox.take(1)] == [b"blocked"]
