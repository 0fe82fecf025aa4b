"""What is heard of the workers of one broker, told to the farm: who came, lives, left.

Their events and those of their tasks come by queues of their own, so that no flood of the latter keeps a death or a
birth waiting. What has come by the time of a round is taken together, and of each worker the farm is told once; nothing
is acknowledged before the farm has it.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Final, cast
from uuid import UUID

import structlog

from coordinator.gateways.celery import lives, translate
from coordinator.gateways.celery.lives import Life, Told
from coordinator.gateways.celery.metrics import Metrics
from coordinator.gateways.celery.wire import Event, UnreadableError, decode, worker_events
from coordinator.gateways.kit import Gate
from coordinator.operations.foreign import Arrive, Depart, Hear, Portrait
from coordinator.operations.ports import Delivery, Guest, Source
from coordinator.operations.requests import RefusedError, Request, UnavailableError

log = structlog.get_logger(__name__)

EVENTS: Final = "celeryev"
#: Seconds between two rounds: what comes meanwhile shares a transaction.
ROUND_S: Final = 0.5
PAUSE_S: Final = 1.0
PREFETCH: Final = 2000
#: One coordinator at a time hears them, in their order; another takes over when that one has gone.
ARGUMENTS: Final[dict[str, str | int]] = {
    "x-single-active-consumer": True,
    "x-max-length": 50_000,
    "x-overflow": "drop-head",
}


class Gathered:
    """Deliveries as they come, taken together."""

    def __init__(self) -> None:
        self._some: list[tuple[Delivery, float]] = []
        self._there = asyncio.Event()

    def put(self, deliveries: Sequence[Delivery]) -> None:
        """They have come now."""
        now = time.time()
        self._some.extend((one, now) for one in deliveries)
        self._there.set()

    async def take(self) -> list[tuple[Delivery, float]]:
        """All that have come, at least one, each with when."""
        await self._there.wait()
        self._there.clear()
        some, self._some = self._some, []
        return some


class Hearing:
    """Keeps the lives of the workers of one broker."""

    def __init__(self, gate: Gate, guest: Guest, realm: str, prefix: str, metrics: Metrics) -> None:
        self._gate = gate
        self._guest = guest
        self._realm = realm
        self._metrics = metrics
        self._gathered = Gathered()
        #: By node name.
        self.lives: dict[str, Life] = {}
        self._warned: set[UUID] = set()
        source = Source(f"{prefix}.celery.workers", EVENTS, "topic", ("worker.#",), ARGUMENTS)
        guest.consume(source, self._gathered.put, PREFETCH)

    async def remember(self) -> None:
        """Take up the lives that the farm knows of. Raises UnavailableError."""
        for holder in await self._gate.holdings.holders(translate.PROTOCOL):
            realm, hostname = translate.place_of(holder.foreign_id)
            pid, born = holder.platform.get("pid"), holder.platform.get("born")
            if realm == self._realm and isinstance(pid, int) and isinstance(born, int):
                inbox, pool = holder.platform.get("inbox"), holder.platform.get("pool")
                self.lives[hostname] = Life(
                    holder.foreign_id,
                    pid,
                    born,
                    inbox=inbox if isinstance(inbox, str) else None,
                    pool=pool if isinstance(pool, str) else None,
                )

    async def run(self) -> None:
        """For ever, a round after the other."""
        while True:
            batch = await self._gathered.take()
            await self._settled(batch)
            await asyncio.sleep(ROUND_S)

    async def _settled(self, batch: list[tuple[Delivery, float]]) -> None:
        told = self._fold(batch)
        await asyncio.gather(*(self._tell(name, one) for name, one in told.items()))
        await self._guest.settle([delivery for delivery, _ in batch])

    def _fold(self, batch: list[tuple[Delivery, float]]) -> dict[str, Told]:
        told: dict[str, Told] = {}
        for delivery, at in batch:
            for event in self._events(delivery):
                name, known = event.hostname, self.lives.get(event.hostname)
                before = told.get(name) or (Told(known) if known is not None else None)
                after = lives.fold(
                    before, translate.foreign_id(self._realm, name), event, at, waited=self._guest.had_waited(delivery)
                )
                if after is not None:
                    told[name], self.lives[name] = after, after.life
                    self._warn(name, after.life)
        return {name: one for name, one in told.items() if one.arrived or one.heard}

    def _warn(self, hostname: str, life: Life) -> None:
        if life.twin and life.instance not in self._warned:
            self._warned.add(life.instance)
            log.warning("two workers have one name: start them with names of their own (-n)", worker=hostname)

    def _events(self, delivery: Delivery) -> list[Event]:
        try:
            events, wrong = worker_events(decode(delivery.body, delivery.content_type))
        except UnreadableError as error:
            self._metrics.unreadable.labels(error.reason).inc()
            return []
        if wrong:
            self._metrics.unreadable.labels("malformed").inc(wrong)
        for event in events:
            self._metrics.heard(event.type)
        return [event for event in events if event.type in translate.WORKER_EVENTS]

    async def _tell(self, hostname: str, told: Told) -> None:
        """Tell the farm of one worker, until it has heard it."""
        life, event = told.life, told.heard or told.arrived
        if event is None:
            return
        name, sign = translate.name_of(life.foreign), translate.sign_of(event, life.lag)
        portrait = translate.portrait_of(life, event)
        request: Arrive | Hear = (
            Arrive(name, portrait, life.instance, sign)
            if told.arrived is not None
            else Hear(name, portrait, sign, life.instance)
        )
        await self.ask(request, hostname)

    async def depart(self, now: float) -> None:
        """Let those go whose goodbye nothing has followed."""
        for hostname, life in list(self.lives.items()):
            if lives.is_due(life, now) and life.goodbye is not None:
                sign = translate.sign_of(life.goodbye, life.lag)
                life.gone = True
                await self.ask(Depart(translate.name_of(life.foreign), life.instance, sign, "said goodbye"), hostname)

    async def begin_anew(self, hostname: str, life: Life, born: int) -> Life:
        """What we took for a process that we knew is another of the same number, which began at *born*."""
        anew = Life(life.foreign, life.pid, born, lag=life.lag, heard_at=life.heard_at, newest=life.newest)
        self.lives[hostname] = anew
        event = life.newest or Event(type="worker-online", hostname=hostname)
        portrait = translate.portrait_of(anew, event)
        await self.ask(Arrive(translate.name_of(anew.foreign), portrait, anew.instance), hostname)
        return anew

    async def found(self, hostname: str, pid: int) -> None:
        """A worker has answered that says nothing by itself: it lives."""
        life = self.lives.get(hostname)
        if life is None or life.gone or life.pid != pid:
            life = self.lives[hostname] = Life(translate.foreign_id(self._realm, hostname), pid, int(time.time()))
        life.heard_at = time.time()
        portrait = translate.mute(life)
        await self.ask(Hear(translate.name_of(life.foreign), portrait, instance=life.instance), hostname)

    async def sees(self, hostname: str, life: Life) -> None:
        """The broker says that a worker lives which cannot say so itself."""
        life.heard_at = time.time()
        await self.bears(hostname, life)

    async def bears(self, hostname: str, life: Life) -> None:
        """Its silence says nothing."""
        await self.ask(Hear(translate.name_of(life.foreign), translate.silent(life), instance=life.instance), hostname)

    async def describe(self, life: Life, portrait: Portrait) -> None:
        """Tell the farm what a worker has said of itself when it was asked: it lives."""
        await self.ask(Hear(translate.name_of(life.foreign), portrait, instance=life.instance), life.foreign)

    async def ask(self, request: Arrive | Hear | Depart, hostname: str) -> bool:
        """Ask the farm, again while its database is away; whether it has taken it."""
        while True:
            try:
                await self._gate.ask(cast("Request[Any]", request))
            except UnavailableError:
                await asyncio.sleep(PAUSE_S)
            except RefusedError as refusal:
                log.warning("celery_refused", worker=hostname, detail=str(refusal))
                return False
            else:
                return True
