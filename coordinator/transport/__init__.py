"""The road: AMQP connections under our own supervision, deliveries in batches, commands out with confirms.

The only place in the coordinator that knows aio-pika. `Broker` is the whole of it for the composition root.
"""

from coordinator.transport.broker import Broker
from coordinator.transport.connection import BrokerRefusedError
from coordinator.transport.consumer import ConsumeCounts, Consumer
from coordinator.transport.declare import TopologyError
from coordinator.transport.guest import GuestBroker
from coordinator.transport.outbox import UndeliveredError
from coordinator.transport.publisher import PublishCounts, Publisher

__all__ = [
    "Broker",
    "BrokerRefusedError",
    "ConsumeCounts",
    "Consumer",
    "GuestBroker",
    "PublishCounts",
    "Publisher",
    "TopologyError",
    "UndeliveredError",
]
