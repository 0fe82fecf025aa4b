"""What the broker gave up on: messages of the parking queue, with the routing key they were first sent with.

The broker replaces the routing key when it dead-letters a message and keeps the first one in a header. The headers
stay with the delivery: `x-first-death-queue` and `x-first-death-reason` (`delivery_limit`) say where and why.
"""

from collections.abc import Sequence
from dataclasses import replace

from coordinator.operations.ports import Delivery, Sink


def restoring(sink: Sink) -> Sink:
    """*sink*, for the parking queue."""

    def restored(deliveries: Sequence[Delivery]) -> None:
        sink([restore(delivery) for delivery in deliveries])

    return restored


def restore(delivery: Delivery) -> Delivery:
    """*delivery* with the routing key of its first death, when the broker says one."""
    deaths = delivery.headers.get("x-death")
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[-1], dict):
        return delivery
    keys = deaths[-1].get("routing-keys")
    if not isinstance(keys, list) or not keys or not isinstance(keys[0], str):
        return delivery
    return replace(delivery, routing_key=keys[0])
