"""Connections: refused, waited for, lost and made again, on a real broker."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import httpx
import pytest
from aiormq.exceptions import ChannelPreconditionFailed
from structlog.testing import capture_logs

from coordinator.local.services import Services
from coordinator.proof.proxy import Proxy
from coordinator.transport import Broker, BrokerRefusedError, TopologyError
from coordinator.transport.connection import CLOSE_S, Link
from schemas.topology import EVENTS, EVENTS_EXCHANGE, EVENTS_QUEUE, HEARTBEATS, HEARTBEATS_QUEUE
from tests.integration.transport.road import Inbox, OtherSide, running
from tests.support.services import management_of


def changed(url: str, *, user: str | None = None, password: str | None = None, vhost: str | None = None) -> str:
    parts = urlsplit(url)
    login = f"{user or parts.username}:{quote(password or parts.password or '', safe='')}"
    path = parts.path if vhost is None else "/" + quote(vhost, safe="")
    return urlunsplit(parts._replace(netloc=f"{login}@{parts.hostname}:{parts.port}", path=path))


@pytest.fixture
async def management(rabbitmq: Services) -> AsyncIterator[httpx.AsyncClient]:
    """The management API of the shared broker."""
    if rabbitmq.management_url is None:
        pytest.fail("these tests need the broker's management API: let the tests start their own broker")
    async with management_of(rabbitmq.management_url) as client:
        yield client


async def refusal(url: str) -> str:
    broker = Broker(url, coordinator="c1")
    with pytest.raises(BrokerRefusedError) as refused:
        await broker.open()
    assert "\n" not in str(refused.value)
    return str(refused.value)


async def test_a_wrong_password_is_refused_in_one_line_that_says_what_to_check(amqp_url: str) -> None:
    words = await refusal(changed(amqp_url, password="wr@ng/"))
    parts = urlsplit(amqp_url)
    assert words == (
        f"the broker at {parts.hostname}:{parts.port} refuses user {parts.username!r}: "
        "check the name and password in its URL"
    )
    assert str(parts.password) not in words


async def test_an_unknown_virtual_host_is_refused_in_one_line_that_names_it(amqp_url: str) -> None:
    words = await refusal(changed(amqp_url, vhost="no such/host"))
    assert "refuses virtual host 'no such/host': create it, or give user" in words


async def test_a_user_without_permissions_on_the_virtual_host_is_refused(
    amqp_url: str, management: httpx.AsyncClient
) -> None:
    await management.put("/users/stranger", json={"password": "secret", "tags": ""})
    try:
        assert "give user 'stranger' permissions on it" in await refusal(
            changed(amqp_url, user="stranger", password="secret")
        )
    finally:
        await management.delete("/users/stranger")


async def test_a_user_who_may_not_declare_queues_is_told_so(amqp_url: str, management: httpx.AsyncClient) -> None:
    await management.put("/users/reader", json={"password": "secret", "tags": ""})
    try:
        vhost = urlsplit(amqp_url).path[1:]
        rights = {"configure": "^$", "write": ".*", "read": ".*"}
        await management.put(f"/permissions/{vhost}/reader", json=rights)
        broker = Broker(changed(amqp_url, user="reader", password="secret"), coordinator="c1")
        with pytest.raises(TopologyError, match="ACCESS_REFUSED"):
            await broker.open()
        assert not broker.connected
    finally:
        await management.delete("/users/reader")


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"x-queue-type": "classic"}, "x-dead-letter-exchange"),
        ({**EVENTS.arguments, "x-delivery-limit": 7}, "x-delivery-limit"),
    ],
    ids=["a plain classic queue", "another limit"],
)
async def test_a_queue_with_other_arguments_is_an_error_that_names_queue_and_argument(
    amqp_url: str, other: OtherSide, arguments: dict[str, Any], argument: str
) -> None:
    await other.declare(EVENTS_QUEUE, **arguments)
    broker = Broker(amqp_url, coordinator="c1")
    with pytest.raises(TopologyError, match=f"queue farmhand.events exists with another {argument}"):
        await broker.open()
    assert not broker.connected


async def test_a_queue_that_comes_back_with_other_arguments_is_said_once_and_leaves_the_others_alone(
    amqp_url: str, other: OtherSide
) -> None:
    broker, events, beats = Broker(amqp_url, coordinator="c1"), Inbox(), Inbox()
    consumer = broker.consume(EVENTS, events, idle_s=0.3)
    broker.consume(HEARTBEATS, beats)
    with capture_logs() as said:
        async with running(broker):
            await other.publish("ev.w1", b"before")
            await consumer.settle(await events.take(1))
            # In one breath, so that ours comes too late; should it not, then again.
            arguments: dict[str, Any] = {**EVENTS.arguments, "x-delivery-limit": 7}
            late = True
            while late:
                channel = await other.channel(confirms=False)
                with contextlib.suppress(ChannelPreconditionFailed):
                    await asyncio.gather(
                        channel.queue_delete(EVENTS_QUEUE),
                        channel.queue_declare(EVENTS_QUEUE, durable=True, arguments=arguments),
                    )
                    late = False
            tries = consumer.tries
            while consumer.tries < tries + 3:
                await other.publish("hb.w1", b"beat")
            await beats.take(1)
            assert not consumer.consuming
            await other.delete(EVENTS_QUEUE)
            while not events.deliveries:
                await other.publish("ev.w1", b"after")
    complaints = [line["problem"] for line in said if line["event"] == "cannot consume"]
    # A look in between may have found no queue at all, which is another complaint.
    told = [problem for problem in complaints if "farmhand.events exists with another x-delivery-limit" in problem]
    assert len(told) == 1


async def test_a_broker_that_is_not_there_is_waited_for_and_that_is_said_once(cable: Proxy, other: OtherSide) -> None:
    cable.unplug()
    broker, inbox = Broker(cable.url, coordinator="c1"), Inbox()
    broker.consume(EVENTS, inbox)
    with capture_logs() as said:
        opening = asyncio.create_task(broker.open())
        while broker.tries < 4:
            await other.ready(EVENTS_QUEUE)
        assert not broker.connected
        await cable.plug()
        await opening
        async with running(broker):
            await other.publish("ev.w1", b"hello")
            await inbox.take(1)
            assert broker.connected
    warnings = [line for line in said if line["log_level"] == "warning"]
    assert [line["event"] for line in warnings] == ["broker not reached, trying again"]
    assert "[Errno 111]" in warnings[0]["problem"]
    assert [line["event"] for line in said].count("broker connected") == 2


async def test_the_first_connection_after_a_loss_is_immediate(cable: Proxy, other: OtherSide) -> None:
    broker, inbox = Broker(cable.url, coordinator="c1"), Inbox()
    broker.consume(EVENTS, inbox)
    async with running(broker):
        await other.publish("ev.w1", b"1")
        await inbox.take(1)
        cable.unplug()
        await cable.plug()
        await inbox.take(1)  # once more: it was not settled
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"2")
        assert broker.connections == 4
        assert cable.accepted == 4


async def test_the_broker_knows_who_is_connected_and_what_for(amqp_url: str, management: httpx.AsyncClient) -> None:
    vhost = urlsplit(amqp_url).path[1:]
    broker = Broker(amqp_url, coordinator="c7")
    async with running(broker):
        known: list[dict[str, Any]] = []
        while len(known) < 2 or not all("client_properties" in one for one in known):
            known = (await management.get(f"/vhosts/{vhost}/connections")).json()
    properties = {one["client_properties"]["purpose"]: one["client_properties"] for one in known}
    assert set(properties) == {"publish", "consume"}
    for purpose, property_ in properties.items():
        assert property_["role"] == "coordinator"
        assert property_["coordinator"] == "c7"
        assert property_["connection_name"].startswith(f"farmhand.coordinator.c7.{purpose}.")
    assert {one["timeout"] for one in known} == {5}


async def test_closing_leaves_no_connection_and_no_consumer(amqp_url: str, other: OtherSide) -> None:
    broker = Broker(amqp_url, coordinator="c1")
    broker.consume(EVENTS, Inbox())
    async with running(broker):
        pass
    assert not broker.connected
    channel = await other.channel(confirms=False)
    assert (await channel.queue_declare(EVENTS_QUEUE, passive=True)).consumer_count == 0


async def test_closing_while_the_broker_is_away_is_quick_and_clean(cable: Proxy, other: OtherSide) -> None:
    broker = Broker(cable.url, coordinator="c1")
    broker.consume(EVENTS, Inbox())
    async with running(broker):
        cable.unplug()
        while broker.connected:
            await other.ready(HEARTBEATS_QUEUE)


async def test_a_link_that_is_closed_while_it_dials_gives_up(cable: Proxy, other: OtherSide) -> None:
    cable.unplug()
    link = Link(cable.url, coordinator="c1", purpose="publish")
    opening = asyncio.create_task(link.run())
    while link.tries < 3:
        await other.ready(EVENTS_QUEUE)
    async with asyncio.timeout(CLOSE_S):
        await link.close()
        await opening


async def test_a_password_that_is_changed_while_we_run_is_said_and_the_right_one_works_again(
    amqp_url: str, management: httpx.AsyncClient
) -> None:
    vhost = urlsplit(amqp_url).path[1:]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    await management.put("/users/farm", json={"password": "one", "tags": ""})
    await management.put(f"/permissions/{vhost}/farm", json=everything)
    try:
        async with Proxy(changed(amqp_url, user="farm", password="one")) as cable:
            broker, inbox = Broker(cable.url, coordinator="c1"), Inbox()
            broker.consume(EVENTS, inbox)
            with capture_logs() as said:
                async with running(broker):
                    await management.put("/users/farm", json={"password": "two", "tags": ""})
                    cable.unplug()
                    await cable.plug()
                    while not any("refuses user 'farm'" in line.get("problem", "") for line in said):
                        await management.get("/overview")
                    await management.put("/users/farm", json={"password": "one", "tags": ""})
                    await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"back")
                    await inbox.take(1)
    finally:
        await management.delete("/users/farm")
