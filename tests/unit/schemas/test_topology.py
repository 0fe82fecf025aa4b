"""The topology is data that RabbitMQ 3.10 and 4.x take, and the catalogue agrees with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import topology
from schemas.base import UndecodableError
from schemas.catalog import ROADS, Party, refuse_misplaced
from schemas.envelope import decode_from_worker
from schemas.ids import WORKER_ID_PATTERN
from tests.support.wire import an_envelope

WORKERS = st.from_regex(WORKER_ID_PATTERN.replace("$", r"\Z"))
KNOWN_ARGUMENTS = {
    "x-queue-type": str, "x-delivery-limit": int, "x-dead-letter-exchange": str, "x-dead-letter-routing-key": str,
    "x-message-ttl": int, "x-max-length": int, "x-max-length-bytes": int, "x-overflow": str, "x-expires": int,
}  # fmt: skip


def matches(pattern: str, key: str) -> bool:
    """Whether a topic exchange would route *key* to a queue bound by *pattern* (`word.#`)."""
    head, _, rest = pattern.partition(".")
    assert rest == "#"
    return key == head or key.startswith(head + ".")


def queues_of(key: str) -> list[str]:
    return [queue.name for queue in topology.QUEUES if any(matches(pattern, key) for pattern in queue.keys)]


def test_every_queue_says_its_type_and_uses_arguments_that_the_broker_knows() -> None:
    for queue in (*topology.QUEUES, topology.worker_queue("w")):
        assert queue.arguments["x-queue-type"] in {"quorum", "classic"}
        for name, value in queue.arguments.items():
            assert type(value) is KNOWN_ARGUMENTS[name]


def test_what_must_not_be_lost_is_in_quorum_queues_and_nothing_is_limited_there() -> None:
    for queue in (topology.EVENTS, topology.PARKING):
        assert queue.arguments["x-queue-type"] == "quorum"
        assert not queue.arguments.keys() & {"x-message-ttl", "x-max-length", "x-max-length-bytes", "x-expires"}


def test_what_the_broker_gives_up_on_goes_to_a_queue_that_exists() -> None:
    assert topology.EVENTS.arguments["x-dead-letter-exchange"] == ""
    assert topology.EVENTS.arguments["x-dead-letter-routing-key"] == topology.PARKING.name
    assert topology.PARKING in topology.QUEUES
    assert topology.QUEUES.index(topology.PARKING) < topology.QUEUES.index(topology.EVENTS)


@given(worker=WORKERS)
def test_each_road_from_a_worker_leads_to_its_queue_and_says_who_speaks(worker: str) -> None:
    for road in ROADS:
        if road.exchange != topology.EVENTS_EXCHANGE:
            continue
        key = road.key.format(**{road.placeholder or "": worker})
        assert road.queue is not None
        assert queues_of(key) == [road.queue.name]
        assert topology.sender_of(key) == worker
        assert len(key.encode()) <= 255


@given(worker=WORKERS)
def test_a_worker_has_a_queue_of_its_own(worker: str) -> None:
    queue = topology.worker_queue(worker)
    assert queue.name == topology.WORKER_QUEUE_PREFIX + worker
    assert queue.keys == ()
    assert queue.arguments == topology.worker_queue("another").arguments
    assert queue.name not in {one.name for one in topology.QUEUES}


def test_an_event_that_comes_by_another_queue_than_its_own_is_refused_by_name() -> None:
    beat, report = {"type": "worker.heartbeat"}, {"type": "task.started", "task": 1, "attempt": 1}
    message, _ = decode_from_worker(an_envelope(events=[beat, report]))
    with pytest.raises(UndecodableError) as refused:
        refuse_misplaced(topology.HEARTBEATS_QUEUE, message)
    assert (refused.value.reason, str(refused.value)) == (
        "misplaced", "events.1: task.started comes by farmhand.events, not by farmhand.heartbeats"
    )  # fmt: skip
    refuse_misplaced(topology.HEARTBEATS_QUEUE, decode_from_worker(an_envelope(events=[beat]))[0])
    refuse_misplaced(topology.EVENTS_QUEUE, decode_from_worker(an_envelope(events=[report]))[0])


def test_all_that_comes_from_outside_comes_by_the_events_exchange() -> None:
    for road in ROADS:
        assert (road.exchange == topology.EVENTS_EXCHANGE) == (road.receiver is Party.COORDINATOR)
