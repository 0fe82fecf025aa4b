"""The farm that is hurt: real processes, each with ways of its own to broker and database.

Promises: what is asked of the database is asked past all hops; `whole` starts again what a fault has ended, as a
service manager would, and returns when everybody is there.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Self

import asyncpg
import psutil

from coordinator.client import FarmhandError
from coordinator.local.farm import LocalFarm
from coordinator.local.part import Part
from coordinator.local.plan import Plan
from coordinator.local.postgres import PrivatePostgres
from coordinator.local.rabbitmq import PrivateRabbit
from coordinator.proof.faults.work import Given, Work
from coordinator.proof.proxy import Proxy
from worker_agent.supervision import is_supervisor

AGENTS: Final = 3
SLOTS: Final = 4
COORDINATORS: Final = 2
#: How long the parts of the farm may take to find together again.
WHOLE_S: Final = 120.0
_LOOK_S: Final = 0.05


class Stage:
    """One farm: `async with Stage(seed) as stage: …`."""

    def __init__(self, seed: int) -> None:
        """All choices come from *seed*; when things happen does not."""
        self.chance = random.Random(seed)
        self.hops: dict[tuple[str, str], Proxy] = {}
        agents = {f"agent-{number}": ("broker",) for number in range(1, AGENTS + 1)}
        coordinators = {f"coordinator-{number}": ("broker", "database") for number in range(1, COORDINATORS + 1)}
        for name, ways in (agents | coordinators).items():
            for way in ways:
                self.hops[name, way] = Proxy()
        self.farm = LocalFarm(
            Plan(agents=AGENTS, slots=SLOTS, coordinators=COORDINATORS, through=self._through),
            say=lambda line: print(line, file=sys.stderr),
        )
        #: Agents that never come back: what they had not promoted yet never is.
        self.gone: list[str] = []
        #: The number of this run, what a fault has given the farm to do besides, and what it has to say.
        self.number = 0
        self.given: list[Given] = []
        self.said: list[str] = []
        self._stack = AsyncExitStack()

    def _through(self, name: str, url: str) -> str:
        return self.hops[name, "database" if url.startswith("postgresql") else "broker"].through(url)

    async def __aenter__(self) -> Self:
        """Start everything."""
        async with AsyncExitStack() as stack:
            for hop in self.hops.values():
                await stack.enter_async_context(hop)
            await stack.enter_async_context(self.farm)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End everything."""
        for part in self.farm.parts.values():
            part.signal(signal.SIGCONT)
        for hop in self.hops.values():
            hop.flow()
        await self._stack.aclose()

    def begin(self, number: int) -> None:
        """Run *number* begins."""
        self.number, self.given, self.said = number, [], []

    # --- who there is --------------------------------------------------------------------------------------

    @property
    def broker(self) -> PrivateRabbit:
        """The broker, which is ours to kill."""
        assert isinstance(self.farm.services.rabbitmq, PrivateRabbit)  # noqa: S101 - no container can be hurt like this
        return self.farm.services.rabbitmq

    @property
    def postgres(self) -> PrivatePostgres:
        """The database server, which is ours to kill."""
        assert isinstance(self.farm.services.postgres, PrivatePostgres)  # noqa: S101
        return self.farm.services.postgres

    def part(self, kind: str) -> Part:
        """One of the *kind* that runs; of agents one that has a program running, if there is one."""
        parts = self.farm.agents if kind == "agent" else self.farm.coordinators
        running = [part for part in parts.values() if part.running]
        busy = [part for part in running if kind == "agent" and children(part)]
        return self.chance.choice(busy or running)

    def hop(self, kind: str, way: str) -> Proxy:
        """The way of one of the *kind* to broker or database, one that is in use."""
        used = [hop for (name, to), hop in self.hops.items() if name.startswith(kind) and to == way and hop.connections]
        return self.chance.choice(used or [self.hops[f"{kind}-1", way]])

    async def new_name(self) -> str:
        """A name that no agent has had, with a way to the broker."""
        name = f"agent-{AGENTS + len(self.gone) + 1}"
        self.hops[name, "broker"] = await self._stack.enter_async_context(Proxy())
        return name

    # --- what is asked -------------------------------------------------------------------------------------

    async def submit(self, work: Work) -> int:
        """Submit the job of *work*; its number."""
        async with self.farm.client() as client:
            return (await client.submit(work.spec)).job

    @asynccontextmanager
    async def database(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection past all hops."""
        connection = await asyncpg.connect(self.farm.services.database_url, timeout=5)
        try:
            yield connection
        finally:
            connection.terminate()

    async def until(self, question: str, *words: Any, within_s: float) -> bool:
        """Wait until the database answers *question* with true, through whatever happens to it; whether it did."""
        over = time.monotonic() + within_s
        while time.monotonic() < over:
            with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                async with self.database() as connection:
                    while time.monotonic() < over:
                        if await connection.fetchval(question, *words, timeout=5):
                            return True
                        await asyncio.sleep(_LOOK_S)
            await asyncio.sleep(_LOOK_S)
        return False

    # --- after a fault -------------------------------------------------------------------------------------

    async def whole(self) -> bool:
        """Start again what has ended; whether every part was there in time."""
        for part in self.farm.parts.values():
            if not part.running:
                part.start()
        try:
            for name in self.farm.coordinators:
                await self.farm.wait_healthy(name, timeout_s=WHOLE_S)
        except Exception as error:  # noqa: BLE001 - it is a finding
            print(f"not whole: {error}", file=sys.stderr)
            return False
        names = [name for name, part in self.farm.agents.items() if part.running]
        online = "SELECT count(*) = cardinality($1::text[]) FROM workers WHERE id = ANY($1) AND connection = 'online'"
        return await self.until(online, names, within_s=WHOLE_S)

    async def restart(self, names: Collection[str]) -> None:
        """Start *names* again, and wait until they serve."""
        with contextlib.suppress(FarmhandError):
            await asyncio.gather(*(self.farm.restart(name) for name in names))


def children(part: Part, *, supervisors: bool | None = None) -> list[psutil.Process]:
    """The processes that *part* has started: all, its supervisors, or all but these."""
    if part.pid is None:
        return []
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(part.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if supervisors is None or is_supervisor(process) is supervisors:
                    found.append(process)
    return found


def tell(processes: list[psutil.Process], how: signal.Signals) -> None:
    """Send a signal to those that still run."""
    for process in processes:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            os.kill(process.pid, how)
