"""What RabbitMQ says of a connection, in the forms in which its versions say it."""

from typing import Any

import pytest

from coordinator.transport.witness import word_of

NAME = "w/node-1/6f0d/c1"
#: As 3.10 and newer publish `connection.closed` by default. What the client told of itself is a list of Erlang terms.
HEADERS: dict[str, Any] = {
    "timestamp_in_ms": 1_700_000_000_000,
    "user_provided_name": NAME,
    "name": "127.0.0.1:49352 -> 127.0.0.1:5672",
    "pid": "<rabbit@host.1700000000.1234.0>",
    "node": "rabbit@host",
    "client_properties": [f'{{<<"connection_name">>,longstr,<<"{NAME}">>}}', '{<<"worker">>,longstr,<<"node-1">>}'],
}
#: Newer ones add who did it.
NEWER = HEADERS | {"user_who_performed_action": "farmhand", "user": "farmhand"}
#: With `event_exchange.protocol = amqp_1_0`, as a consumer of AMQP 0.9.1 gets it.
ANNOTATIONS = {f"x-opt-{key}": value for key, value in NEWER.items()}


@pytest.mark.parametrize("headers", [HEADERS, NEWER, ANNOTATIONS], ids=["3.10", "4", "annotations"])
def test_the_name_that_a_client_gave_its_connection_is_read(headers: dict[str, Any]) -> None:
    assert word_of(headers, "user_provided_name") == NAME


def test_a_connection_without_a_name_of_its_own_has_none_whatever_else_is_told() -> None:
    anonymous = {key: value for key, value in NEWER.items() if key != "user_provided_name"}

    assert word_of(anonymous, "user_provided_name") is None
    assert word_of({"user_provided_name": 7}, "user_provided_name") is None
    assert word_of(None, "user_provided_name") is None
