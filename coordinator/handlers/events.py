"""The queue of all that must not be lost: events of workers, and submissions."""

import asyncio
from collections.abc import Callable

from coordinator.handlers.identity import Identities
from coordinator.operations.inbox import Item
from coordinator.operations.ports import Courier, Delivery
from coordinator.operations.records import Parking
from coordinator.operations.requests import RefusedError, SubmitJob, Submitted, UnavailableError
from schemas.base import UndecodableError, decode
from schemas.envelope import FromSubmitter, SubmitReply

Decoder = Callable[[Delivery, Identities, Courier], list[Item]]


def from_worker(delivery: Delivery, identities: Identities, _: Courier) -> list[Item]:
    """Events of one worker: one item, so that they are applied together and in order."""
    return [Item(identities.read(delivery), delivery=delivery)]


def from_submitter(delivery: Delivery, identities: Identities, courier: Courier) -> list[Item]:
    """Submissions: an item each; the last one carries the delivery, so that it is settled when all are committed."""
    message = decode(delivery.body, FromSubmitter)
    identities.check(delivery, message.submitter, worker=False)
    if not message.events:
        raise UndecodableError("invalid", "events", "there is nothing in it")
    items = []
    for event in message.events:
        answer: asyncio.Future[Submitted] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(lambda done: _reply(done, delivery, courier))
        items.append(Item(SubmitJob(event.job, message.submitter), answer=answer, origin=delivery))
    items[-1].delivery = delivery
    return items


def parked(delivery: Delivery, error: UndecodableError) -> Item:
    """What cannot be read is kept."""
    return Item(Parking(delivery, error.reason, error.field, error.detail), delivery=delivery)


def given_up(delivery: Delivery, _: Identities, __: Courier) -> list[Item]:
    """What the broker gave up on goes into the table, undecoded."""
    return [
        parked(delivery, UndecodableError("delivery-limit", "", "the broker delivered it too often without an answer"))
    ]


def _reply(done: "asyncio.Future[Submitted]", delivery: Delivery, courier: Courier) -> None:
    if done.cancelled():
        return
    error = done.exception()
    if delivery.reply_to is None:
        return
    if error is None:
        submitted = done.result()
        reply = SubmitReply(job=submitted.job, created=submitted.created)
    elif isinstance(error, RefusedError | UnavailableError):
        reply = SubmitReply(problem=str(error)[:200])
    else:
        reply = SubmitReply(problem="it could not be taken; see the coordinator's log")
    courier.reply(delivery.reply_to, delivery.correlation_id, reply)
