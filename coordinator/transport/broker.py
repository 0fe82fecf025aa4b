"""The broker as a coordinator sees it: two connections, the intakes, the courier, their beginning and their end.

One connection publishes and one consumes, because the broker stops reading from publishers when it runs short of memory
or disk, and acknowledgements must go on. Order of life: `open` (raises what a person must mend), `consume`, `run` in a
task of its own, `stop_receiving`, settle what is in hand, `close`.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from coordinator.operations.lasting import lasting
from coordinator.operations.ports import Sink
from coordinator.transport import lenient
from coordinator.transport.connection import HEARTBEAT_S, Link, LostError, quiet_client
from coordinator.transport.consumer import IDLE_S, Consumer
from coordinator.transport.declare import declare
from coordinator.transport.parking import restoring
from coordinator.transport.publisher import Publisher
from coordinator.transport.witness import Listener, Witness
from schemas.topology import PARKING, QUEUES, Queue

#: How long the end waits for what has gathered and for the broker's answers.
DRAIN_S: Final = 5.0


class Broker:
    """One coordinator's road. `courier` sends; `consume` makes an intake of a queue."""

    def __init__(
        self,
        url: str,
        *,
        coordinator: str,
        on_returned: Callable[[str], None] | None = None,
        heartbeat_s: int = HEARTBEAT_S,
    ) -> None:
        """*on_returned* hears of each worker whose queue was not there. `BrokerRefusedError` for a wrong *url*."""
        lenient.install()
        quiet_client()
        self._publishing = Link(url, coordinator=coordinator, purpose="publish", heartbeat_s=heartbeat_s)
        self._consuming = Link(url, coordinator=coordinator, purpose="consume", heartbeat_s=heartbeat_s)
        self.courier = Publisher(self._publishing, on_returned=on_returned)
        self._url = url
        self._coordinator = coordinator
        self._heartbeat_s = heartbeat_s
        self._witness: Witness | None = None
        self.consumers: list[Consumer] = []
        self._ended = asyncio.Event()
        self._running = False

    @property
    def user(self) -> str:
        """The broker's name for us: the `user_id` of what we publish."""
        return self._publishing.user

    @property
    def connected(self) -> bool:
        """Whether both connections are up."""
        return self._publishing.connected and self._consuming.connected

    @property
    def connections(self) -> int:
        """How many connections were made until now, lost ones included."""
        return self._publishing.connections + self._consuming.connections

    @property
    def tries(self) -> int:
        """How often a connection was tried."""
        return self._publishing.tries + self._consuming.tries

    @property
    def name(self) -> str:
        """The name of the connection on which we consume, as the broker knows it."""
        return self._consuming.name

    @property
    def hears_connections(self) -> bool:
        """Whether the broker tells us of connections that are made and close."""
        return self._witness is not None and self._witness.hears

    async def standing(self) -> tuple[str, bool, bool]:
        """The connection on which we consume, whether we are told of others', whether the broker takes nothing."""
        return self.name, self.hears_connections, await self._publishing.blocked()

    @property
    def consuming(self) -> bool:
        """Whether the broker delivers to every intake now."""
        return self.connected and all(consumer.consuming for consumer in self.consumers)

    async def open(self) -> None:
        """Connect and declare the topology. Waits for a broker that is not there.

        Raises `BrokerRefusedError` for wrong credentials or virtual host, `TopologyError` for queues that exist
        with other arguments.
        """
        try:
            await self._consuming.open()
            await self._publishing.open()
            await declare(await self._consuming.connection(), QUEUES)
        except LostError:
            return  # it was there a moment ago: `run` connects again, and each consumer declares its queue
        except BaseException:
            await self._close_links()
            raise

    def consume(self, queue: Queue, sink: Sink, *, prefetch: int | None = None, idle_s: float = IDLE_S) -> Consumer:
        """An intake of *queue* that hands what arrives to *sink*. Before `run`."""
        if self._running:
            raise RuntimeError("intakes are made before the broker runs")
        if queue.name == PARKING.name:
            sink = restoring(sink)
        consumer = Consumer(self._consuming, queue, sink, prefetch=prefetch, idle_s=idle_s)
        self.consumers.append(consumer)
        return consumer

    def watch(self, vhost: str, listener: Listener) -> None:
        """Have *listener* told what the broker says of connections, in virtual host *vhost*. Before `run`."""
        self._witness = Witness(
            self._url, vhost, coordinator=self._coordinator, listener=listener, heartbeat_s=self._heartbeat_s
        )

    async def run(self) -> None:
        """Keep everything going until `close`. An error that comes out is a fault in the program or of a sink."""
        self._running = True
        try:
            async with asyncio.TaskGroup() as links:
                keepers = [links.create_task(lasting(link.run())) for link in (self._publishing, self._consuming)]
                async with asyncio.TaskGroup() as work:
                    work.create_task(lasting(self.courier.run()))
                    for consumer in self.consumers:
                        work.create_task(lasting(consumer.run()))
                    if self._witness is not None:
                        work.create_task(lasting(self._witness.run()))
                for keeper in keepers:
                    keeper.cancel()
        finally:
            await self._close_links()
            self._ended.set()

    def stop_receiving(self) -> None:
        """Hand over nothing more. What is in hand can still be settled."""
        for consumer in self.consumers:
            consumer.stop()

    async def close(self) -> None:
        """Acknowledge what is settled, publish what has gathered, close the connections; within seconds."""
        await asyncio.sleep(0)  # a `run` that was created this moment begins, and then ends properly
        self._consuming.begin_close()
        self._publishing.begin_close()
        for consumer in self.consumers:
            consumer.close()
        self.courier.close()
        if self._witness is not None:
            self._witness.close()
        if self._running:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self._ended.wait()
        await self._close_links()
        if self._running:
            await self._ended.wait()

    async def _close_links(self) -> None:
        await asyncio.gather(self._consuming.close(), self._publishing.close())
