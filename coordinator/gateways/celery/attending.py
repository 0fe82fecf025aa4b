"""What is asked of the workers of one broker, so that they can be given work: who they are, and to take it from a queue
of their own.

Asked are all that have just come (or come back), many at a time, and everybody once a minute. Workers that say nothing
by themselves (`--without-heartbeat`) are found by a ping; to those that can, the question brings a heartbeat.
"""

import asyncio
import time
from typing import Any, Final

import structlog

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.control import Control
from coordinator.gateways.celery.hearing import Hearing
from coordinator.gateways.celery.lives import Life
from coordinator.gateways.celery.wire import Stats, names_of, stats_of
from coordinator.operations.ports import Guest
from coordinator.operations.requests import UnavailableError

log = structlog.get_logger(__name__)

#: Seconds until who did not answer is asked again, and until who did is.
AGAIN_S: Final = 3.0
ANEW_S: Final = 60.0
MEASURE_S: Final = 15.0
#: How often it is looked whether those are there that say nothing while they run a task.
LOOK_S: Final = 2.0
#: Nobody is given up for what could not be said to us: while we do not hear the broker, and so much longer, until its
#: workers have had the time to come back to it, too; for so long at most, because another coordinator may hear them.
RETURN_S: Final = 15.0
PATIENCE_S: Final = 120.0
MOST_QUEUES: Final = 100
AT_ONCE: Final = 50
#: So much later than we first heard of a process it may say that it began, and be the same.
MARGIN_S: Final = 10
EXPIRES_MS: Final = 600_000
#: The worker itself declares its inbox, with whatever its application adds.
ARGUMENTS: Final = {"x-queue-type": "classic", "x-expires": EXPIRES_MS}
_TRIES: Final = 20
_TICK_S: Final = 0.1


class Attending:
    """Asks the workers of one broker."""

    def __init__(self, guest: Guest, control: Control, hearing: Hearing, prefix: str) -> None:
        self._guest = guest
        self._control = control
        self._hearing = hearing
        self._prefix = prefix
        self._polled_at = self._measured_at = self._looked_at = self._bore_at = float("-inf")
        #: When it was first and last seen in this outage that we do not hear the broker.
        self._deaf_since = self._deaf_at = float("-inf")
        #: Of each queue that workers serve: messages and consumers.
        self.depths: dict[str, tuple[int, int]] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_TICK_S)
            now, hears = time.time(), self._guest.connected
            try:
                await self.bear(now, hears=hears)
                if hears:
                    await self.round(now)
            except UnavailableError as error:
                log.debug("celery_unheard", detail=str(error))

    async def round(self, now: float) -> None:
        """Ask whose turn it is."""
        due = {hostname: life for hostname, life in self._hearing.lives.items() if self._is_due(life, now)}
        if due:
            await self._attend(dict(list(due.items())[:AT_ONCE]), now)
        if now - self._polled_at >= translate.POLL_S:
            self._polled_at = now
            await self._poll(now)
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            await self._look(now)
        if now - self._measured_at >= MEASURE_S:
            await self._measure(now)

    async def bear(self, now: float, *, hears: bool) -> None:
        """Wait for those that were there when we last heard the broker, and could not be heard since."""
        if not hears:
            if now - self._deaf_at > RETURN_S:
                self._deaf_since = now
            self._deaf_at = now
        waits = now - self._deaf_at < RETURN_S and now - self._deaf_since < PATIENCE_S
        if not waits or now - self._bore_at < LOOK_S:
            return
        self._bore_at = now
        for hostname, life in list(self._hearing.lives.items()):
            were_there = not life.gone and self._deaf_since - life.heard_at < translate.LOST_AFTER_S
            if were_there and life.heard_at < self._deaf_at:
                await self._hearing.bears(hostname, life)

    @staticmethod
    def _is_due(life: Life, now: float) -> bool:
        lives = not life.gone and now - life.heard_at < ANEW_S
        return lives and now - life.asked_at >= (AGAIN_S if life.unasked else ANEW_S)

    async def _attend(self, some: dict[str, Life], now: float) -> None:
        for life in some.values():
            life.asked_at = now
        # Events first: what ends before, on a worker that has just reconnected, may be unheard. A worker says that it
        # is online before it hears what it is told: who has not answered is asked again.
        voices, stats, tasks, queues = await asyncio.gather(
            *(self._control.ask(what, {}, some) for what in ("enable_events", "stats", "registered", "active_queues"))
        )
        await asyncio.gather(
            *(
                self._prepare(hostname, life, said, names_of(tasks.get(hostname)), names_of(queues.get(hostname)))
                for hostname, life in some.items()
                if hostname in voices and (said := stats_of(stats.get(hostname))) is not None
            )
        )

    async def _prepare(
        self, hostname: str, life: Life, stats: Stats, tasks: tuple[str, ...], queues: tuple[str, ...]
    ) -> None:
        """Give a worker its inbox, and tell the farm what it can do."""
        if stats.pid is not None and stats.pid != life.pid:
            return  # that is another life, of which we have yet to hear
        if stats.uptime is not None and int(time.time() - stats.uptime) > life.born + MARGIN_S:
            life = await self._hearing.begin_anew(hostname, life, int(time.time() - stats.uptime))
        inbox: str | None = None
        if life.newest is not None:  # it has a voice of its own: its tasks can be followed
            inbox = translate.inbox_of(self._prefix, translate.name_of(life.foreign), life.instance)
            if inbox not in queues and not await self._consume(hostname, inbox):
                return
        life.pool = translate.pool_of(stats)
        life.inbox, life.unasked, life.queues = inbox, False, tuple(one for one in queues if one != inbox)
        await self._hearing.describe(life, translate.inspected(life.foreign, stats, tasks, queues, inbox))

    async def _consume(self, hostname: str, inbox: str) -> bool:
        """Have a worker take tasks from its inbox; whether it does."""
        arguments: dict[str, Any] = {
            "queue": inbox,
            "exchange": translate.exchange_of(self._prefix),
            "exchange_type": "direct",
            "routing_key": inbox,
            "queue_arguments": ARGUMENTS,
        }
        said = await self._control.ask("add_consumer", arguments, [hostname])
        if "ok" not in (said.get(hostname) or {}):
            return False
        for _ in range(_TRIES):
            depth = await self._guest.depth(inbox)
            if depth is not None and depth[1] > 0:
                return True
            await asyncio.sleep(_TICK_S)
        return False

    async def _look(self, now: float) -> None:
        """A solo worker neither beats nor answers while it runs a task: it lives while the broker sees it consume."""
        for hostname, life in list(self._hearing.lives.items()):
            silent = life.pool == translate.SOLO and not life.gone and now - life.heard_at >= LOOK_S
            depth = await self._guest.depth(life.inbox) if silent and life.inbox else None
            if depth is not None and depth[1] > 0:
                await self._hearing.sees(hostname, life)

    async def _measure(self, now: float) -> None:
        """How much waits in the queues that workers serve."""
        served = {queue for life in self._hearing.lives.values() if not life.gone for queue in life.queues}
        if served:
            self._measured_at = now
        found = {queue: await self._guest.depth(queue) for queue in sorted(served)[:MOST_QUEUES]}
        self.depths = {queue: depth for queue, depth in found.items() if depth is not None}

    async def _poll(self, now: float) -> None:
        """Look for workers that say nothing by themselves."""
        answers = await self._control.ask("ping", {}, None, within_s=2.0)
        silent = {name for name in answers if self._is_silent(name, now)}
        if not silent:
            return
        await self._control.tell("heartbeat", {}, silent)
        stats = await self._control.ask("stats", {}, silent)
        await asyncio.gather(*(self._found(name, stats_of(stats.get(name))) for name in silent))

    def _is_silent(self, hostname: str, now: float) -> bool:
        life = self._hearing.lives.get(hostname)
        return life is None or life.gone or now - life.heard_at > translate.POLL_S / 2

    async def _found(self, hostname: str, stats: Stats | None) -> None:
        if stats is not None and stats.pid is not None:
            await self._hearing.found(hostname, stats.pid)
