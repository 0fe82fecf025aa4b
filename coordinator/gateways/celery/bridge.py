"""The bridges to Celery's brokers: one each, all alike, none in another's way."""

import asyncio
import contextlib
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog
from prometheus_client.core import Metric

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.attending import Attending
from coordinator.gateways.celery.control import Control
from coordinator.gateways.celery.following import Following
from coordinator.gateways.celery.giving import Giving
from coordinator.gateways.celery.hearing import Hearing
from coordinator.gateways.celery.metrics import Metrics, gauge
from coordinator.gateways.kit import Gate
from coordinator.operations.lasting import lasting
from coordinator.operations.requests import RefusedError, UnavailableError
from schemas.base import Message

log = structlog.get_logger(__name__)

TICK_S: Final = 0.5
FORGET_S: Final = 600.0


def realm_of(url: str) -> str:
    """What tells the workers of this broker from those of others."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5672}/{unquote(parts.path[1:])}"


class Bridge:
    """One broker's workers."""

    def __init__(self, gate: Gate, url: str, realm: str, metrics: Metrics) -> None:
        self.realm = realm
        prefix = str(gate.settings["celery_prefix"])
        self.guest = gate.dial(url, "celery")
        self.control = Control(self.guest)
        self.hearing = Hearing(gate, self.guest, realm, prefix, metrics)
        self.giving = Giving(gate, self.guest, self.control, realm, prefix)
        self._attending = Attending(self.guest, self.control, self.hearing, prefix)
        self._following = Following(gate, self.guest, self.giving, (realm, prefix), metrics)

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.hearing.remember()
                break
            except UnavailableError:
                await asyncio.sleep(TICK_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self.guest.run()))
            for part in (self.hearing, self._attending, self._following, self.giving):
                group.create_task(lasting(part.run()))
            group.create_task(lasting(self._tick()))

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.hearing.depart(time.time())
            await self.forget()

    def gauges(self) -> Iterator[tuple[str, str, list[str], list[tuple[tuple[str, ...], float]]]]:
        """What is read when somebody scrapes: of workers that are there."""
        here = {
            hostname: (translate.name_of(life.foreign), life)
            for hostname, life in self.hearing.lives.items()
            if not life.gone and time.time() - life.heard_at < translate.SHOWN_S
        }
        lives = [((name,), life) for name, life in here.values()]
        watching = self._following.watching
        yield "worker_online", "1 for each that was heard lately.", ["worker"], [(key, 1) for key, _ in lives]
        yield (
            "worker_heard_timestamp_seconds", "When it was last heard.", ["worker"],
            [(key, life.heard_at) for key, life in lives],
        )  # fmt: skip
        yield "worker_active_tasks", "What it runs now.", ["worker"], [(key, life.active) for key, life in lives]
        yield (
            "worker_processed_tasks", "How many it has begun in this life.", ["worker"],
            [(key, life.processed) for key, life in lives],
        )  # fmt: skip
        yield (
            "worker_prefetched_tasks", "What it has and has not begun.", ["worker"],
            [((name,), len(watching.prefetched.get(hostname, ()))) for hostname, (name, _) in here.items()],
        )  # fmt: skip
        yield (
            "worker_events", "Events of tasks that were heard of it in this life.", ["worker", "type"],
            [
                ((name, type_), count)
                for hostname, (name, _) in here.items()
                for type_, count in watching.told.get(hostname, {}).items()
            ],
        )  # fmt: skip
        depths = self._attending.depths.items()
        yield "queue_messages", "What waits in a queue of Celery's.", ["queue"], [((q,), d[0]) for q, d in depths]
        yield "queue_consumers", "How many consume it.", ["queue"], [((q,), d[1]) for q, d in depths]

    async def forget(self) -> None:
        """Forget of gone workers what is only counted."""
        for hostname, life in self.hearing.lives.items():
            if life.gone:
                self._following.watching.forget(hostname)


class Bridges:
    """Carries what the writer has to say to Celery's workers, and hears them."""

    def __init__(self, gate: Gate) -> None:
        urls = [one for one in gate.settings["celery_urls"].get_secret_value().split(",") if one]
        own = str(gate.settings["amqp_url"])
        metrics = Metrics(gate.registry)
        metrics.show(self._gauges)
        self._gate = gate
        self._tasks: set[asyncio.Task[None]] = set()
        self._bridges = {
            realm: Bridge(gate, url, realm, metrics)
            for realm, url in ({realm_of(url): url for url in urls}.items() if urls else [("", own)])
        }

    def send(self, worker: str, _epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Carry *commands*, in their order, after what has been handed over for this worker before."""
        task = asyncio.create_task(self._carry(worker, commands))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, worker: str, commands: Sequence[Message | bytes]) -> None:
        try:
            for holder in await self._gate.holdings.holders(translate.PROTOCOL, worker):
                bridge = self._bridges.get(translate.place_of(holder.foreign_id)[0])
                if bridge is not None:
                    await bridge.giving.give(worker, commands)
        except (RefusedError, UnavailableError) as error:
            log.info("celery_undelivered", worker=worker, detail=str(error))
        except Exception:
            log.exception("celery_failed", worker=worker)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(lasting(self._forget()))
            for bridge in self._bridges.values():
                group.create_task(lasting(bridge.run()))

    async def _forget(self) -> None:
        """Forget tasks of which nothing was heard for long."""
        days = int(self._gate.settings["celery_keep_days"])
        while True:
            await asyncio.sleep(FORGET_S)
            with contextlib.suppress(UnavailableError):
                while await self._gate.watched.forget(translate.PROTOCOL, days):
                    pass

    def _gauges(self) -> Iterable[Metric]:
        """Of all brokers, a family each."""
        families: defaultdict[tuple[str, str, tuple[str, ...]], list[tuple[tuple[str, ...], float]]] = defaultdict(list)
        for bridge in self._bridges.values():
            for name, text, labels, values in bridge.gauges():
                families[name, text, tuple(labels)] += values
        return [gauge(name, text, list(labels), values) for (name, text, labels), values in families.items()]
