"""Whatever comes in, it is read or refused, is settled once, and leaves nothing that the database cannot hold.

`make fuzz` does the same with a million messages, and with a fuzzer that looks where they lead.
"""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings

from coordinator.operations.inbox import Item
from coordinator.operations.records import Parking
from schemas.envelope import FromWorker
from tests.fuzz.bad_input import USER, Sent, messages
from tests.fuzz.mouth import Mouth
from tests.support.chance import examples
from tests.support.wire import an_envelope

FINISHED = {"type": "task.finished", "task": 1, "attempt": 1, "outcome": "completed"}


@pytest.fixture(scope="module")
def mouth() -> Iterator[Mouth]:
    mouth = Mouth(USER)
    yield mouth
    mouth.close()


@given(sent=messages())
@settings(max_examples=examples(2), suppress_health_check=[HealthCheck.too_slow])
def test_whatever_comes_in_is_read_or_refused_and_settled_once(mouth: Mouth, sent: Sent) -> None:
    before = mouth.counted.total()
    mouth.eat(sent.delivered())
    assert mouth.counted.total() == before + 1
    assert len(mouth.inbox) == 0


@given(sent=messages())
@settings(max_examples=examples(0.4), suppress_health_check=[HealthCheck.too_slow])
def test_what_comes_twice_is_taken_for_the_same_twice(mouth: Mouth, sent: Sent) -> None:
    first, second = (mouth.eat(sent.delivered()) for _ in range(2))
    assert [_said(item) for item in first] == [_said(item) for item in second]


def _said(item: Item) -> object:
    match item.event:
        case Parking(_, reason, field, detail):
            return reason, field, detail
        case FromWorker() as message:
            return message
        case event:
            return type(event)


def test_a_nul_is_found_though_the_name_of_the_list_is_written_with_an_escape(mouth: Mouth) -> None:
    body = an_envelope(events=[FINISHED | {"result": "\x00"}], later={"events": 1})
    (item,) = mouth.eat(Sent("ev.node-1", body.replace(b'"events": [', b'"\\u0065vents": [')).delivered())
    assert isinstance(item.event, Parking)
    assert (item.event.reason, item.event.field) == ("unstorable", "events.0.result")


def test_ten_thousand_wrong_events_in_one_message_cost_no_more_than_one(mouth: Mouth) -> None:
    (item,) = mouth.eat(Sent("ev.node-1", an_envelope(events=[7] * 20_000)).delivered())
    assert isinstance(item.event, Parking)
    assert (item.event.reason, item.event.field) == ("invalid", "events.0")
