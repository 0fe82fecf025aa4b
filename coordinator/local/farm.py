"""A farm on this machine: services, coordinators and agents, each a real process that can be killed and started again.

`farmhand up` and the demo stand on it, and the tests of faults. Promises: `start` returns when every part answers, or
raises an error that quotes the log of the one that does not; nothing outlives `stop`, whatever was done to the parts.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.client.config import ADMIN_TOKEN
from coordinator.local.directory import Directory
from coordinator.local.part import Part, PartError
from coordinator.local.plan import Places, Plan, a_coordinator, an_agent, reachable
from coordinator.local.rabbitmq import EVENT_EXCHANGE, MANAGEMENT
from coordinator.local.services import Services, Wanted
from coordinator.local.tokens import AGENTS_TOKEN, kept_token
from coordinator.storage.migrate import migrate
from schemas.roles import Role
from schemas.views import Connection

_READY_S: Final = 60.0
_GRACE_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1


class LocalFarm:
    """A farm while the context lasts: `async with LocalFarm(Plan(agents=3)) as farm: …`.

    `coordinators` and `agents` are its processes by name (`coordinator-1`, `agent-1`, …), `services` its RabbitMQ and
    Postgres (`services.postgres.kill()`), `outputs` the attempts' directories, `published` the paths that people know.
    """

    def __init__(self, plan: Plan | None = None, *, say: Callable[[str], None] = lambda _line: None) -> None:
        """A farm that is not started yet. `say` gets a line for each thing that takes long."""
        self.plan = plan or Plan()
        self._say = say
        self._directory: Directory | None = None
        self._stopping: asyncio.Task[None] | None = None
        self.services = Services()
        self.coordinators: dict[str, Part] = {}
        self.agents: dict[str, Part] = {}
        self._urls: dict[str, str] = {}
        self._token = self.plan.settings.get("FARMHAND_API_TOKEN")
        self._agents_token: str | None = None

    @property
    def path(self) -> Path:
        """The directory of it all."""
        if self._directory is None:
            raise PartError("the farm is not started")
        return self._directory.path

    @property
    def outputs(self) -> Path:
        """Below it each attempt has a directory of its own."""
        return self.path / "outputs"

    @property
    def published(self) -> Path:
        """Below it accepted outputs are put where people look for them."""
        return self.plan.published or self.path / "published"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.path / "logs"

    @property
    def urls(self) -> list[str]:
        """Where the coordinators' HTTP APIs are."""
        return list(self._urls.values())

    @property
    def url(self) -> str:
        """Where the first coordinator's HTTP API is."""
        return self.urls[0]

    @property
    def parts(self) -> dict[str, Part]:
        """All processes but the services', by name."""
        return {**self.coordinators, **self.agents}

    def client(self, coordinator: str | None = None) -> AsyncFarmhandClient:
        """A client of *coordinator*, without a name of the first that runs; close it."""
        running = (name for name, part in self.coordinators.items() if part.running)
        url = self._urls[coordinator or next(running, "coordinator-1")]
        return AsyncFarmhandClient(url, token=self._token)

    async def start(self) -> None:
        """Start everything; returns when every coordinator answers and every agent is online.

        Raises:
            LocalServiceError: some part does not start; nothing is left running.
        """
        self._directory = Directory(self.plan.directory)
        try:
            self._place_coordinators(self.plan.coordinators)
            for directory in (self.outputs, self.published, self.logs):
                directory.mkdir(parents=True, exist_ok=True)
            kept = None if self.plan.directory is None else self.path / "services"
            wanted = Wanted(
                directory=kept,
                durable=self.plan.durable,
                plugins=(MANAGEMENT, EVENT_EXCHANGE),
                broker_settings=self.plan.broker_settings,
            )
            self.services = Services(wanted, say=self._say)
            await self._start_services()
            self._say("RabbitMQ and Postgres answer")
            await migrate(self.services.database_url)
            if self.plan.closed:
                await self._close()
            names = [self._new_coordinator() for _ in range(self.plan.coordinators)]
            agents = [self._new_agent(None, None) for _ in range(self.plan.agents)]
            await asyncio.gather(*(self.wait_healthy(name) for name in names))
            self._say(f"{' and '.join(names)} can take work")
            await self.wait_online(agents)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End everything in good order: agents hand back what they hold, then coordinators, then services.

        A second cancellation while it works ends everything at once.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        while not self._stopping.done():
            try:
                await asyncio.shield(self._stopping)
            except asyncio.CancelledError:
                self.kill_all()
        self._stopping.result()

    def kill_all(self) -> None:
        """End all processes but the services at once."""
        for part in self.parts.values():
            part.kill()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    async def add_agent(self, name: str | None = None, *, slots: int | None = None) -> str:
        """One more agent; returns its name when it is online."""
        name = self._new_agent(name, slots)
        await self.wait_online([name])
        return name

    async def add_coordinator(self) -> str:
        """One more coordinator; returns its name when it answers."""
        self._place_coordinators(len(self.coordinators) + 1)
        name = self._new_coordinator()
        await self.wait_healthy(name)
        return name

    def kill(self, name: str, *, with_tasks: bool = True) -> None:
        """SIGKILL to a process and, as when its machine loses power, to those it has started (`with_tasks`)."""
        self.parts[name].kill(with_tasks=with_tasks)

    async def restart(self, name: str) -> None:
        """Start a process again (one that still runs is asked to end first); returns when it serves."""
        part = self.parts[name]
        await part.stop(timeout_s=_GRACE_S)
        part.start()
        await (self.wait_online([name]) if name in self.agents else self.wait_healthy(name))

    async def wait_healthy(self, name: str, *, timeout_s: float = _READY_S) -> None:
        """Return when coordinator *name* answers and has its database and broker."""

        async def healthy() -> bool:
            try:
                answer = await http.get("/readyz")
            except httpx.HTTPError:
                return False
            return answer.status_code == httpx.codes.OK

        async with httpx.AsyncClient(base_url=self._urls[name], timeout=2, trust_env=False) as http:
            await self._until(healthy, [name], f"was not ready after {timeout_s:.0f} s", timeout_s)

    async def wait_online(self, names: Iterable[str], *, timeout_s: float = _READY_S) -> None:
        """Return when the agents *names*, as they run now, are online in a coordinator's eyes."""
        missing = list(names)
        async with self.client() as client:

            async def online() -> bool:
                while missing and await self._is_online(client, missing[0]):
                    del missing[0]
                return not missing

            await self._until(online, missing, f"was not online after {timeout_s:.0f} s", timeout_s)

    async def _is_online(self, client: AsyncFarmhandClient, name: str) -> bool:
        try:
            worker = await client.worker(name)
        except FarmhandError:
            return False
        # What the farm remembers may be of a life before.
        return worker.connection is Connection.ONLINE and worker.online_at >= self.agents[name].started_at

    async def _until(
        self, done: Callable[[], Awaitable[bool]], names: Sequence[str], what: str, timeout_s: float
    ) -> None:
        deadline = time.monotonic() + timeout_s
        while not await done():
            for part in (self.parts[name] for name in names):
                if not part.running:
                    raise part.failure("ended while starting")
                if time.monotonic() > deadline:
                    raise part.failure(what)
            await asyncio.sleep(_LOOK_EVERY_S)

    def _place_coordinators(self, number: int) -> None:
        """Find a port for each: first of all, for a port that is taken should be known at once."""
        assert self._directory is not None  # noqa: S101 - `start` has made it
        while len(self._urls) < number:
            name = f"coordinator-{len(self._urls) + 1}"
            port = self._directory.port(name, None if self._urls else self.plan.http_port)
            self._urls[name] = f"http://{reachable(self.plan.http_host)}:{port}"

    def _new_coordinator(self) -> str:
        name = f"coordinator-{len(self.coordinators) + 1}"
        port = self._urls[name].rpartition(":")[2]
        self.coordinators[name] = a_coordinator(name, self.plan, self._places(), port)
        self.coordinators[name].start()
        return name

    def _new_agent(self, name: str | None, slots: int | None) -> str:
        name = name or f"agent-{len(self.agents) + 1}"
        self.agents[name] = an_agent(name, self.plan, self._places(), slots or self.plan.slots, self.url)
        self.agents[name].start()
        return name

    def _places(self) -> Places:
        services = self.services
        return Places(
            self.path,
            self.published,
            services.database_url,
            services.amqp_url,
            self._agents_token,
            services.management_url,
        )

    async def _close(self) -> None:
        """Have a token for the farm's owner, beside its URL, and one for its agents: both for the owner's eyes only."""
        url = self.services.database_url
        self._token = await kept_token(self.path / ADMIN_TOKEN, url, "local", Role.ADMIN, self.url)
        self._agents_token = await kept_token(self.path / AGENTS_TOKEN, url, "local-agents", Role.AGENT)

    async def _start_services(self) -> None:
        starting = asyncio.create_task(asyncio.to_thread(self.services.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            # A server that is killed is not waited for any longer.
            while not starting.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.to_thread(self._kill_services)
                    await asyncio.wait([starting], timeout=_LOOK_EVERY_S)
            starting.exception()
            raise

    def _kill_services(self) -> None:
        """End them as a power cut would: fit for those that are thrown away, and for those that do not serve yet."""
        for server in (self.services.rabbitmq, self.services.postgres):
            if server is not None:
                server.kill()

    async def _stop(self) -> None:
        try:
            for group in (self.agents, self.coordinators):
                await asyncio.gather(*(part.stop(timeout_s=_GRACE_S) for part in group.values()))
        finally:
            if self.plan.directory is None:
                await asyncio.to_thread(self._kill_services)
            await asyncio.to_thread(self.services.stop)
            if self._directory is not None:
                self._directory.close()
