"""Everything an agent says goes out from here: events, logs and heartbeats, a task for each, never cancelled midway.

Each has a channel of its own, so that a flood of logs delays no report. Events that gather while one publish is under
way share the next envelope; what the broker has not confirmed is sent again.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from schemas.base import Message
from schemas.topology import event_key, heartbeat_key, log_key
from worker_agent.outbox import Envelopes, Key, Outbox
from worker_agent.spool import Spool
from worker_agent.transport import Address, Lane, Publisher, RoadError

log = structlog.get_logger(__name__)

#: Between tries to publish what the broker does not take.
RETRY_S: Final = 1.0
_LOG_BYTES: Final = 62 * 1024


class Shipping:
    """The way out of one life of an agent."""

    def __init__(self, address: Address, spool_directory: Path) -> None:
        self._worker = address.worker
        self._publisher = Publisher(address)
        self._outbox = Outbox()
        self._spool = Spool(spool_directory)
        self._envelopes = Envelopes(address.worker, address.instance)
        self._present = asyncio.Event()
        self._losing = False

    @property
    def connected(self) -> bool:
        """Whether there is a connection to publish on."""
        return self._publisher.ready.is_set()

    def welcomed(self, epoch: int) -> None:
        """What is said from now on is said under this epoch."""
        self._envelopes.epoch = epoch

    def present(self) -> None:
        """The worker's queue is consumed: from now on events may go out."""
        self._present.set()

    def say(self, kind: str, event: Message | bytes, task: int = 0, attempt: int = 0) -> None:
        """Send *event*, instead of one of the same kind and attempt that still waits."""
        body = event if isinstance(event, bytes) else event.model_dump_json(exclude_none=True).encode()
        self._outbox.put((kind, task, attempt), body)

    def log(self, events: list[bytes]) -> None:
        """Send these log events, when the broker takes them."""
        before = self._spool.dropped
        self._spool.put(events)
        if self._spool.dropped > before and not self._losing:
            self._losing = True
            log.warning("logs are dropped: nobody takes them, and there is no room to keep them")

    async def flushed(self, within_s: float) -> bool:
        """Whether all events were confirmed in time; logs get what is left of it."""
        confirmed = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._outbox.empty()
                confirmed = True
                await self._spool.empty()
        return confirmed

    def close(self) -> None:
        """Keep the logs that nobody took for the next life."""
        self._spool.keep()

    # --- for ever --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the connection; raises as `Publisher.run`."""
        await self._publisher.run()

    async def ship_events(self, on_confirmed: Callable[[Key], None]) -> None:
        """Publish events; *on_confirmed* hears of each that the broker has."""
        key = event_key(self._worker)
        await self._present.wait()
        while True:
            await self._publisher.ready.wait()
            events = await self._outbox.take()
            left = dict(events)
            try:
                for keys, body in self._envelopes.parts(events):
                    await self._publisher.publish(Lane.EVENTS, key, body)
                    for sent in keys:
                        del left[sent]
                        on_confirmed(sent)
                self._outbox.done()
            except RoadError as error:
                self._outbox.put_back(left)
                log.warning("events wait", problem=str(error), events=len(left))
                await asyncio.sleep(RETRY_S)

    async def ship_logs(self) -> None:
        """Publish logs; what is not taken goes to the spool's files."""
        key = log_key(self._worker)
        flowing = True
        while True:
            events = await self._spool.take(_LOG_BYTES)
            try:
                await self._publisher.publish(Lane.LOGS, key, self._envelopes.wrap(events))
                self._spool.done()
                flowing, self._losing = True, False
            except RoadError as error:
                self._spool.keep()
                if flowing:
                    log.warning("logs wait in the spool", problem=str(error))
                flowing = False
                await asyncio.sleep(RETRY_S)

    async def beat(self, make: Callable[[int], bytes]) -> None:
        """Publish the heartbeat that *make* makes of its sequence number; lost when it cannot be. What it lists
        and that number belong together: nothing may happen between them."""
        if self.connected:
            body = self._envelopes.wrap([make(self._envelopes.seq + 1)])
            with contextlib.suppress(RoadError):
                await self._publisher.publish(Lane.BEATS, heartbeat_key(self._worker), body)
