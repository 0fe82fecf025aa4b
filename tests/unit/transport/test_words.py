"""What people read when the broker says no, and what is read from its headers."""

import pytest

from coordinator.operations.ports import Delivery
from coordinator.transport import Broker, BrokerRefusedError
from coordinator.transport.declare import explain
from coordinator.transport.parking import restore


def test_a_queue_with_other_arguments_is_named_with_its_argument_and_what_to_do() -> None:
    words = (
        "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'farmhand.events' in vhost '/': "
        "received 'quorum' but current is 'classic'"
    )
    assert explain(words) == (
        "queue farmhand.events exists with another x-queue-type (received 'quorum' but current is 'classic'): "
        "delete it once it is empty (rabbitmqctl delete_queue --vhost / farmhand.events), "
        "or give the farm a virtual host of its own"
    )


def test_words_of_the_broker_that_are_not_known_are_passed_on() -> None:
    assert explain("RESOURCE_LOCKED - something") == "the broker refuses our queues: RESOURCE_LOCKED - something"


@pytest.mark.parametrize("url", ["", "rubbish", "http://guest:guest@localhost/", "amqp://", "amqp://host:notaport/"])
async def test_a_url_of_another_kind_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(BrokerRefusedError, match=r"must look like amqp://user:password@host:port/vhost$"):
        Broker(url, coordinator="c1")


def dead_letter(**headers: object) -> Delivery:
    return Delivery("farmhand.parking", "farmhand.parking", b"{}", 1, 1, headers=headers)


def test_a_parked_message_has_the_routing_key_of_its_first_death() -> None:
    deaths = [
        {"queue": "farmhand.parking", "routing-keys": ["farmhand.parking"]},
        {"queue": "farmhand.events", "routing-keys": ["ev.w1"]},
    ]
    assert restore(dead_letter(**{"x-death": deaths})).routing_key == "ev.w1"


@pytest.mark.parametrize("deaths", [None, [], "x", [3], [{}], [{"routing-keys": []}], [{"routing-keys": [3]}]])
def test_headers_that_say_nothing_useful_leave_the_routing_key(deaths: object) -> None:
    delivery = dead_letter(**{"x-death": deaths})
    assert restore(delivery) is delivery
