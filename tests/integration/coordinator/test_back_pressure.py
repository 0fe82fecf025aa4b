"""While the database is away, what a coordinator holds in memory is bounded; the rest waits at the broker.

The bound is what a consumer may hold unacknowledged, times the size of a message: 500 events, 1,000 heartbeats and 200
messages of logs of at most 64 KiB, some 110 MB, however many are waiting and however long that takes.
"""

import asyncio
from typing import Final

import asyncpg

from coordinator.storage.store import LOCK
from coordinator.transport.consumer import PREFETCH
from schemas import topology
from schemas.base import MAX_MESSAGE_BYTES
from schemas.task import TaskProgress
from schemas.worker import Capacity
from tests.support.farm import Farm
from tests.support.wire import WireWorker

#: Requests and duties that come by no queue.
OTHERS: Final = 50
FLOOD: Final = 1500
AT_ONCE: Final = 100


def test_what_a_coordinator_may_hold_is_known() -> None:
    assert sum(PREFETCH.values()) * MAX_MESSAGE_BYTES < 112 * 2**20


async def test_a_flood_waits_at_the_broker_while_the_writer_waits_and_is_applied_afterwards(farm: Farm) -> None:
    inbox, most = farm.coordinator.inbox, 0
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=1)) as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        held = await asyncpg.connect(farm.database_url)
        try:
            await held.execute("SELECT pg_advisory_lock($1)", LOCK)
            for first in range(0, FLOOD, AT_ONCE):
                told = (
                    TaskProgress(task=attempt.task, attempt=1, done=first + n, total=FLOOD)
                    for n in range(1, AT_ONCE + 1)
                )
                await asyncio.gather(*map(worker.say, told))
                most = max(most, len(inbox))
        finally:
            await held.close()
        await farm.until("SELECT done = $1 FROM attempts", FLOOD)
    assert most <= PREFETCH[topology.EVENTS_QUEUE] + OTHERS
    assert await farm.rows("SELECT * FROM parked") == []
