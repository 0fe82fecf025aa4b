"""The workers of other protocols, as processes: what each is started with, and when it is there."""

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from coordinator.client import AsyncFarmhandClient
from coordinator.local.farm import LocalFarm
from coordinator.local.mixed.stock_celery import celery_worker, packages
from coordinator.local.part import Part
from coordinator.local.plan import inherited
from schemas.views import Connection

_HERE: Final = Path(__file__).parent
_THERE_S: Final = 90.0
_LOOK_EVERY_S: Final = 0.2
_GRACE_S: Final = 10.0


class Crew:
    """A Flamenco worker, a ClearML agent and a stock Celery worker on *farm*; they end with the context."""

    def __init__(self, farm: LocalFarm, client: AsyncFarmhandClient, url: str, say: Callable[[str], None]) -> None:
        self._farm = farm
        self._client = client
        self._url = url
        self._say = say
        self.parts: dict[str, Part] = {}

    async def __aenter__(self) -> Self:
        """Start them; returns when all are online."""
        try:
            keys = (await self._client.create_credential("clearml", "demo")).shown
            self._start("flamenco_v3", [*self._python("flamenco_worker.py"), self._url, "render-1"], inherited())
            self._start(
                "clearml",
                [sys.executable, "-P", "-m", "coordinator.local.mixed.clearml_puller", "--queue", "default"],
                {
                    **inherited(),
                    "CLEARML_API_HOST": self._url,
                    "CLEARML_WORKER_ID": "trainer-1:0",
                    "CLEARML_API_ACCESS_KEY": keys["access_key"],
                    "CLEARML_API_SECRET_KEY": keys["secret_key"],
                },
            )
            await asyncio.to_thread(packages, self._say)
            self._add("celery", celery_worker("sums", self._farm.services.amqp_url, self._farm.logs))
            await self._all_there()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ask them to end."""
        await self._stop()

    def check(self) -> None:
        """Raise `PartError` when one has ended."""
        for part in self.parts.values():
            if not part.running:
                raise part.failure("ended in the middle of the demo")

    @staticmethod
    def _python(program: str) -> list[str]:
        return [sys.executable, "-P", str(_HERE / program)]

    def _start(self, protocol: str, argv: Sequence[str], settings: Mapping[str, str]) -> None:
        self._add(protocol, Part(protocol, argv, settings, self._farm.logs))

    def _add(self, protocol: str, part: Part) -> None:
        part.start()
        self.parts[protocol] = part

    async def _all_there(self) -> None:
        missing = set(self.parts)
        deadline = time.monotonic() + _THERE_S
        while missing:
            for worker in (await self._client.workers()).items:
                # A Celery worker can be given tasks when it has said which it knows.
                if worker.protocol in missing and worker.connection is Connection.ONLINE and worker.kinds:
                    missing.discard(worker.protocol)
                    self._say(f"{worker.id} is online: {worker.protocol}, {worker.software}")
            self.check()
            for protocol in missing:
                if time.monotonic() > deadline:
                    raise self.parts[protocol].failure(f"was not online after {_THERE_S:.0f} s")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _stop(self) -> None:
        await asyncio.gather(*(part.stop(timeout_s=_GRACE_S) for part in self.parts.values()))
