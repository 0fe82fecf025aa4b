"""Commands to the workers' queues, on a real broker: confirmed, returned, refused, unknown."""

import asyncio

import pytest

from coordinator.proof.proxy import Proxy
from coordinator.transport import Broker, UndeliveredError
from coordinator.transport.connection import Link
from coordinator.transport.publisher import Publisher
from schemas.base import MAX_MESSAGE_BYTES
from schemas.envelope import SubmitReply, decode_to_worker
from schemas.task import Revocation, Revoke
from schemas.topology import EVENTS_EXCHANGE, EVENTS_QUEUE, worker_queue
from schemas.worker import Reset
from tests.integration.transport.road import SOON_S, Inbox, OtherSide, running

RESET = Reset(reason="your epoch is over")


async def declare_worker(other: OtherSide, worker: str) -> str:
    queue = worker_queue(worker)
    await other.declare(queue.name, **queue.arguments)
    return queue.name


async def test_commands_arrive_in_one_persistent_message_of_their_worker(amqp_url: str, other: OtherSide) -> None:
    queue = await declare_worker(other, "w1")
    broker = Broker(amqp_url, coordinator="c1")
    broker.courier.send("w1", 7, [RESET])
    broker.courier.send("w1", 7, [Revoke(attempts=[Revocation(task=1, attempt=2, reason="canceled")])])
    async with running(broker):
        message = await other.get(queue)
        await broker.courier.publish_raw("", queue, b"last")
        assert (await other.get(queue)).message_id != message.message_id
    envelope, _ = decode_to_worker(message.body)
    assert (envelope.worker, envelope.epoch) == ("w1", 7)
    assert [command.type for command in envelope.commands] == ["reset", "revoke"]
    assert message.delivery_mode == 2
    assert message.user_id == broker.user
    assert message.content_type == "application/json"
    assert message.timestamp
    assert await other.ready(queue) == 0


async def test_more_than_a_message_holds_is_split(amqp_url: str, other: OtherSide) -> None:
    queue = await declare_worker(other, "w1")
    broker = Broker(amqp_url, coordinator="c1")
    many = [Revoke(attempts=[Revocation(task=n, attempt=1, reason="x" * 200)]) for n in range(1, 1001)]
    broker.courier.send("w1", 1, many)
    async with running(broker):
        await broker.close()
    bodies = [(await other.get(queue)).body for _ in range(await other.ready(queue) or 0)]
    assert len(bodies) > 1
    assert max(map(len, bodies)) <= MAX_MESSAGE_BYTES
    messages = [decode_to_worker(body)[0] for body in bodies]
    assert [command for message in messages for command in message.commands] == many


async def test_a_returned_message_finds_its_queue_the_second_time(amqp_url: str, other: OtherSide) -> None:
    returned: list[str] = []
    broker = Broker(amqp_url, coordinator="c1", on_returned=returned.append)
    broker.courier.send("gone", 1, [RESET])
    async with running(broker):
        await broker.close()
    queue = worker_queue("gone")
    assert returned == ["gone"]
    assert broker.courier.counts.returned == 1
    assert broker.courier.counts.confirmed == 1
    # Declared exactly as the agent will declare it: else this is refused.
    await other.declare(queue.name, **queue.arguments)
    assert decode_to_worker((await other.get(queue.name)).body)[0].commands == [RESET]


async def test_all_workers_queues_deleted_under_load_are_all_there_again(amqp_url: str, other: OtherSide) -> None:
    workers = [f"w{number}" for number in range(100)]
    broker = Broker(amqp_url, coordinator="c1")
    async with running(broker):
        for epoch in range(1, 4):
            for worker in workers:
                broker.courier.send(worker, epoch, [RESET])
            await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.mark", b"mark")
            await other.delete(*(worker_queue(worker).name for worker in workers))
        for worker in workers:
            broker.courier.send(worker, 9, [RESET])
        await broker.close()
    counts = broker.courier.counts
    assert counts.unknown == counts.nacked == counts.dropped == 0
    for worker in workers:
        assert await other.ready(worker_queue(worker).name)


async def test_publishing_to_nowhere_raises(amqp_url: str) -> None:
    broker = Broker(amqp_url, coordinator="c1")
    async with running(broker):
        with pytest.raises(UndeliveredError, match="no queue takes it"):
            await broker.courier.publish_raw(EVENTS_EXCHANGE, "unbound.w1", b"{}")
        with pytest.raises(UndeliveredError, match="255 bytes"):
            await broker.courier.publish_raw(EVENTS_EXCHANGE, "x" * 256, b"{}")
        with pytest.raises(UndeliveredError, match="did not confirm"):
            await broker.courier.publish_raw("no-such-exchange", "ev.w1", b"{}")
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"{}")
    assert broker.courier.counts.returned == 1
    assert broker.courier.counts.unknown == 1


async def test_after_a_refusal_a_fresh_channel_goes_on(amqp_url: str, other: OtherSide) -> None:
    await other.declare("full", **{"x-max-length": 1, "x-overflow": "reject-publish"})
    broker = Broker(amqp_url, coordinator="c1")
    async with running(broker):
        await broker.courier.publish_raw("", "full", b"fits")
        with pytest.raises(UndeliveredError, match="the broker refused it"):
            await broker.courier.publish_raw("", "full", b"does not")
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"{}")
    assert broker.courier.counts.nacked == 1
    assert broker.courier.counts.confirmed == 2


async def test_an_answer_goes_to_the_queue_that_was_asked_for(amqp_url: str, other: OtherSide) -> None:
    await other.declare("my-answers")
    broker = Broker(amqp_url, coordinator="c1")
    broker.courier.reply("my-answers", "question-1", SubmitReply(job=4, created=True))
    broker.courier.reply("nobody-there", "question-2", SubmitReply(job=5, created=True))
    async with running(broker):
        message = await other.get("my-answers")
    assert message.correlation_id == "question-1"
    assert SubmitReply.model_validate_json(message.body) == SubmitReply(job=4, created=True)


async def test_no_answer_goes_to_a_queue_of_the_farm(amqp_url: str, other: OtherSide) -> None:
    queue = await declare_worker(other, "w1")
    broker = Broker(amqp_url, coordinator="c1")
    for name in (queue, EVENTS_QUEUE, "", "x" * 300):
        broker.courier.reply(name, None, SubmitReply(problem="no"))
    async with running(broker):
        await broker.close()
    assert await other.ready(queue) == 0
    assert await other.ready(EVENTS_QUEUE) == 0
    assert broker.courier.counts.dropped == 4


async def test_what_the_broker_does_not_confirm_in_time_is_unknown_and_the_next_goes_out_on_a_new_channel(
    cable: Proxy, other: OtherSide
) -> None:
    queue = await declare_worker(other, "w1")
    link = Link(cable.url, coordinator="c1", purpose="publish")
    publisher = Publisher(link, confirm_s=2.0)
    await link.open()
    tasks = [asyncio.create_task(link.run()), asyncio.create_task(publisher.run())]
    await publisher.publish_raw("", queue, b"confirmed")
    cable.hold()
    with pytest.raises(UndeliveredError, match="did not confirm"):
        await publisher.publish_raw("", queue, b"unknown")
    assert publisher.counts.unknown == 1
    cable.flow()
    await publisher.publish_raw("", queue, b"again")
    publisher.close()
    async with asyncio.timeout(SOON_S):
        await tasks[1]
        await link.close()
        await tasks[0]
    assert publisher.counts.confirmed == 2
    assert await other.ready(queue) in (2, 3)


async def test_what_is_in_flight_when_the_connection_is_lost_ends_as_unknown_and_publishing_goes_on(
    cable: Proxy, other: OtherSide
) -> None:
    workers = [f"w{number}" for number in range(300)]
    for worker in workers:
        await declare_worker(other, worker)
    broker = Broker(cable.url, coordinator="c1")
    async with running(broker):
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"{}")
        cable.hold()
        waiting = asyncio.create_task(broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"{}"))
        while not broker.courier.in_flight:
            await other.ready(EVENTS_QUEUE)
        for worker in workers:
            broker.courier.send(worker, 1, [RESET])
        assert broker.courier.oldest_s > 0
        cable.unplug()
        cable.flow()
        await cable.plug()
        with pytest.raises(UndeliveredError):
            await waiting
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"{}")
        await broker.close()
    counts = broker.courier.counts
    assert counts.unknown >= 1
    assert counts.published == counts.confirmed + counts.unknown
    assert counts.published == len(workers) + 3


async def test_closing_publishes_what_has_gathered(amqp_url: str, other: OtherSide) -> None:
    workers = [f"w{number}" for number in range(250)]
    for worker in workers:
        await declare_worker(other, worker)
    broker = Broker(amqp_url, coordinator="c1")
    async with running(broker):
        for worker in workers:
            broker.courier.send(worker, 1, [RESET])
    assert broker.courier.counts.confirmed == len(workers)


async def test_closing_without_a_broker_gives_up_what_waits(cable: Proxy, other: OtherSide) -> None:
    broker = Broker(cable.url, coordinator="c1")
    async with running(broker):
        cable.unplug()
        while broker.connected:
            await other.ready(EVENTS_QUEUE)
        broker.courier.send("w1", 1, [RESET])
        waiting = asyncio.create_task(broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"{}"))
    with pytest.raises(UndeliveredError):
        await waiting


async def test_a_message_that_was_given_up_by_who_waited_for_it_is_not_published(
    cable: Proxy, other: OtherSide
) -> None:
    broker, inbox = Broker(cable.url, coordinator="c1"), Inbox()
    async with running(broker):
        cable.unplug()
        while broker.connected:
            await other.ready(EVENTS_QUEUE)
        waiting = asyncio.create_task(broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"given up"))
        while not broker.courier.waiting_bytes:
            await other.ready(EVENTS_QUEUE)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await cable.plug()
        await broker.courier.publish_raw(EVENTS_EXCHANGE, "ev.w1", b"wanted")
        await broker.close()
    assert (await other.get(EVENTS_QUEUE)).body == b"wanted"
    assert inbox.deliveries == []
