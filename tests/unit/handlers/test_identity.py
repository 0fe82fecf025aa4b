"""What a worker said: read if it may say it, and what is of no known type is counted."""

import pytest

from coordinator.handlers.identity import Identities
from coordinator.operations.ports import Delivery
from coordinator.telemetry import Telemetry
from schemas.base import UndecodableError
from schemas.topology import EVENTS_QUEUE, event_key
from tests.support.wire import an_envelope

NEWS = [{"type": "worker.sang"}, {"type": "worker.offline"}, {"type": "worker.danced", "steps": 3}]


def a_delivery(user_id: str) -> Delivery:
    return Delivery(EVENTS_QUEUE, event_key("node-1"), an_envelope(events=NEWS), 1, 1, user_id=user_id)


def test_events_of_no_known_type_are_left_out_and_counted() -> None:
    telemetry = Telemetry("1")
    message = Identities("farm", telemetry.unknown_events.inc).read(a_delivery("farm"))
    assert [event.type for event in message.events] == ["worker.offline"]
    assert b"farmhand_unknown_events_total 2.0" in telemetry.expose(None)


def test_what_a_stranger_says_counts_for_nothing() -> None:
    heard: list[int] = []
    with pytest.raises(UndecodableError):
        Identities("farm", heard.append).read(a_delivery("mallory"))
    assert heard == []
