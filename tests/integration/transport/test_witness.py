"""The broker's own word on connections, on a broker whose plugin is off, switched on, and off again."""

import asyncio
from collections.abc import Callable, Iterator

import aio_pika
import pytest

from coordinator.local.rabbitmq import EVENT_EXCHANGE, MANAGEMENT, PrivateRabbit
from coordinator.transport.witness import Witness
from schemas.topology import CONNECTION_CLOSED, CONNECTION_CREATED
from tests.integration.transport.road import SOON_S
from tests.support import services as support

pytestmark = [pytest.mark.faults, pytest.mark.extensive]


@pytest.fixture(scope="module")
def broker() -> Iterator[PrivateRabbit]:
    """A broker of our own, without the plugin."""
    with support.services(given=False, postgres=False, plugins=(MANAGEMENT,)) as services:
        if not isinstance(services.rabbitmq, PrivateRabbit):
            pytest.fail("its plugins can be changed only where RabbitMQ runs without a container")
        yield services.rabbitmq


class Words:
    """What a witness was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __call__(self, event: str, connection: str) -> None:
        self.heard.append((event, connection))


async def come_and_go(url: str, name: str) -> None:
    """A connection of this *name* is made and ended."""
    connection = await aio_pika.connect(url, client_properties={"connection_name": name})
    await connection.close()


async def until(url: str, true: Callable[[], object]) -> None:
    """Have others come and go until it is *true*."""
    async with asyncio.timeout(SOON_S):
        while not true():
            await come_and_go(url, "somebody")


async def told(words: Words, url: str, name: str) -> None:
    """Of a connection of this *name* is heard that it was made, and that it closed."""
    await come_and_go(url, name)
    await until(url, lambda: (CONNECTION_CLOSED, name) in words.heard)
    assert (CONNECTION_CREATED, name) in words.heard


async def test_the_word_is_heard_as_soon_as_the_plugin_is_on_and_not_believed_when_it_is_off(
    broker: PrivateRabbit,
) -> None:
    words = Words()
    witness = Witness(broker.url, "/", coordinator="c1", listener=words, again_s=0.5)
    running = asyncio.create_task(witness.run())
    try:
        for life in ("first", "second"):
            assert not witness.hears
            await asyncio.to_thread(broker.switch, (MANAGEMENT, EVENT_EXCHANGE))
            await until(broker.url, lambda: witness.hears)
            await told(words, broker.url, life)
            await asyncio.to_thread(broker.switch, (MANAGEMENT,))
            await until(broker.url, lambda: not witness.hears)
    finally:
        witness.close()
        await running


async def test_an_exchange_that_has_outlived_its_plugin_is_not_believed_and_what_takes_its_place_is_heard(
    broker: PrivateRabbit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coordinator.transport.witness.ANSWER_S", 1.0)
    async with await aio_pika.connect(broker.url) as connection:
        channel = await connection.channel()
        # As it is left behind by a node that was started without the plugin: durable, and nobody publishes there.
        made = 'rabbit_misc:r(<<"/">>, exchange, <<"amq.rabbitmq.event">>), topic, true, false, true, [], <<"x">>'
        await asyncio.to_thread(broker.ctl, "eval", f"rabbit_exchange:declare({made}).")
        words = Words()
        witness = Witness(broker.url, "/", coordinator="c1", listener=words, again_s=0.5)
        running = asyncio.create_task(witness.run())
        try:
            await until(broker.url, lambda: witness.problem)
            assert "tells nothing" in witness.problem
            assert not witness.hears
            await asyncio.to_thread(broker.switch, (MANAGEMENT, EVENT_EXCHANGE))
            await until(broker.url, lambda: witness.hears)
            await told(words, broker.url, "third")
        finally:
            witness.close()
            await running
        assert not channel.is_closed
