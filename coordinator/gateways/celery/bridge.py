"""The bridges to Celery's brokers: one each, all alike, none in another's way."""

import asyncio
import time
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote, urlsplit

import structlog

from coordinator.gateways.celery.hearing import Hearing
from coordinator.gateways.celery.metrics import Metrics
from coordinator.gateways.kit import Gate
from coordinator.operations.requests import UnavailableError
from schemas.base import Message

log = structlog.get_logger(__name__)

TICK_S: Final = 0.5


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
        self.hearing = Hearing(gate, self.guest, realm, prefix, metrics)

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.hearing.remember()
                break
            except UnavailableError:
                await asyncio.sleep(TICK_S)
        async with asyncio.TaskGroup() as group:
            group.create_task(self.guest.run())
            group.create_task(self.hearing.run())
            group.create_task(self._tick())

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.hearing.depart(time.time())


class Bridges:
    """Hears Celery's workers. Nothing is sent to them."""

    def __init__(self, gate: Gate) -> None:
        urls = [one for one in gate.settings["celery_urls"].get_secret_value().split(",") if one]
        own = str(gate.settings["amqp_url"])
        metrics = Metrics(gate.registry)
        self._bridges = {
            realm: Bridge(gate, url, realm, metrics)
            for realm, url in ({realm_of(url): url for url in urls}.items() if urls else [("", own)])
        }

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """There is nothing that they would hear."""

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            for bridge in self._bridges.values():
                group.create_task(bridge.run())
