"""The road to the broker: two plain connections under our own supervision, one that publishes and one that consumes.

aio-pika's self-healing connection is not used: it closes everything and loops when one channel cannot be restored. Here
each connection has a supervisor of its own: the first reconnection is immediate, the next ones back off with jitter,
and nothing that a user of the road awaits is lost with it. Traps that shaped this package:

- a publish that is cancelled or times out under back-pressure leaves the confirms in doubt: it runs in a task that is
  never cancelled, and after a timeout the connection is thrown away and the outcome is unknown;
- a returned (unroutable) message counts as published unless one asks: `mandatory` with `on_return_raises`;
- a broker cancels a consumer without a word to the caller: the cancel callback, and a look at the queue from time to
  time, rebuild it.
"""

from worker_agent.transport.connection import Address, NotAdmittedError, disposed, lasting
from worker_agent.transport.consumer import Consumer, Delivered, IdentityHeldError
from worker_agent.transport.publisher import Lane, Publisher, RoadError

__all__ = [
    "Address",
    "Consumer",
    "Delivered",
    "IdentityHeldError",
    "Lane",
    "NotAdmittedError",
    "Publisher",
    "RoadError",
    "disposed",
    "lasting",
]
