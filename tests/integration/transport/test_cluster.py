"""A cluster of three nodes, and the death of the one that leads the events queue."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from coordinator.local.rabbitmq import PrivateRabbit
from coordinator.proof.proxy import Proxy
from coordinator.transport import Broker, UndeliveredError
from schemas.topology import EVENTS, EVENTS_EXCHANGE, EVENTS_QUEUE
from tests.integration.transport.road import Inbox, running
from tests.support.cluster import cluster

pytestmark = [pytest.mark.faults, pytest.mark.extensive, pytest.mark.timeout(400)]


def leader(nodes: dict[str, PrivateRabbit], ask: str) -> str:
    """Who leads the events queue, by the word of node *ask*."""
    rows = nodes[ask].ctl("list_queues", "name", "leader", "--no-table-headers").splitlines()
    return next(row.split()[1] for row in rows if row.startswith(EVENTS_QUEUE))


async def publish_until_confirmed(broker: Broker, body: bytes) -> None:
    while True:
        with contextlib.suppress(UndeliveredError):
            return await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", body)


async def test_the_leader_of_a_queue_dies_and_nothing_that_was_confirmed_is_lost(tmp_path: Path) -> None:
    with cluster(tmp_path) as nodes:
        async with Proxy() as hop:
            broker, inbox = Broker(hop.through(nodes["two@localhost"].url), coordinator="c1"), Inbox()
            consumer = broker.consume(EVENTS, inbox)
            async with running(broker):
                for number in range(50):
                    await publish_until_confirmed(broker, b"%d" % number)
                await consumer.settle(await inbox.take(20))
                led = await asyncio.to_thread(leader, nodes, "two@localhost")
                other = next(node for node in nodes if node != led)
                # Where we are connected to the leader itself, the way leads to another node from now on.
                hop.through(nodes[other].url)
                await asyncio.to_thread(nodes[led].kill)
                for number in range(50, 100):
                    await publish_until_confirmed(broker, b"%d" % number)
                seen: set[bytes] = set()
                while not seen >= {b"%d" % number for number in range(50, 100)}:
                    got = await inbox.take(1)
                    seen |= {delivery.body for delivery in got}
                    await consumer.settle(got)
                assert await asyncio.to_thread(leader, nodes, other) != led
                assert seen >= {b"%d" % number for number in range(20, 100)}
