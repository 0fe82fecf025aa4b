"""A farm on this machine: services, coordinators and agents, each a real process that can be killed and started again.

`farmhand up` and the demo stand on it, and the tests of faults. Promises: `start` returns when every part answers, or
raises an error that quotes the log of the one that does not; nothing outlives `stop`, whatever was done to the parts.
"""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.local.binaries import cache_directory
from coordinator.local.directory import Directory
from coordinator.local.part import Part, PartError
from coordinator.local.ports import LOOPBACK
from coordinator.local.rabbitmq import EVENT_EXCHANGE, MANAGEMENT
from coordinator.local.services import Services, Wanted
from coordinator.storage.migrate import migrate
from schemas.views import Connection

#: The commands, of this very installation whatever is on the path. -P: their working directory is not for import.
_FARMHAND: Final = (sys.executable, "-P", "-c", "from coordinator.cli import main; main()")
_AGENT: Final = (sys.executable, "-P", "-c", "from worker_agent.cli import main; main()")
_READY_S: Final = 60.0
_GRACE_S: Final = 30.0
_LOOK_EVERY_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What kind of farm. `directory` keeps everything; None is a temporary one.

    `drain_s` is how long agents may finish what they run when the farm stops, before they hand it back.
    `published` is where promoted outputs go, if not into the farm's directory. `settings` are further settings of the
    coordinators and `agent_settings` of the agents, as environment variables.
    """

    agents: int = 3
    slots: int = 2
    coordinators: int = 1
    directory: Path | None = None
    published: Path | None = None
    http_host: str = LOOPBACK
    http_port: int | None = None
    queues: Sequence[str] = ("default",)
    drain_s: float = 0
    durable: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    agent_settings: Mapping[str, str] = field(default_factory=dict)


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
        return AsyncFarmhandClient(url, token=self.plan.settings.get("FARMHAND_API_TOKEN"))

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
            wanted = Wanted(directory=kept, durable=self.plan.durable, plugins=(MANAGEMENT, EVENT_EXCHANGE))
            self.services = Services(wanted, say=self._say)
            await self.services.__aenter__()
            await migrate(self.services.database_url)
            names = [self._new_coordinator() for _ in range(self.plan.coordinators)]
            agents = [self._new_agent(None, None) for _ in range(self.plan.agents)]
            await asyncio.gather(*(self.wait_healthy(name) for name in names))
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
            self._urls[name] = f"http://{_reachable(self.plan.http_host)}:{port}"

    def _new_coordinator(self) -> str:
        name = f"coordinator-{len(self.coordinators) + 1}"
        environment = {
            "FARMHAND_OUTPUTS_DIR": str(self.path / "uploads"),
            **self.plan.settings,
            "FARMHAND_DATABASE_URL": self.services.database_url,
            "FARMHAND_AMQP_URL": self.services.amqp_url,
            "FARMHAND_HTTP_HOST": self.plan.http_host,
            "FARMHAND_HTTP_PORT": self._urls[name].rpartition(":")[2],
            "FARMHAND_COORDINATOR_ID": name,
            "FARMHAND_LOG_FORMAT": "json",
            "FARMHAND_DEBUG": "1",
        }
        self._start(self.coordinators, name, [*_FARMHAND, "coordinator"], environment)
        return name

    def _new_agent(self, name: str | None, slots: int | None) -> str:
        name = name or f"agent-{len(self.agents) + 1}"
        home = self.path / "agents" / name
        home.mkdir(parents=True, exist_ok=True)
        options = {
            "--worker": name,
            "--slots": str(slots or self.plan.slots),
            "--data-dir": str(home),
            "--output-root": str(self.outputs),
            "--publish-root": str(self.published),
            "--coordinator-url": self.url,
            "--log-format": "json",
        }
        argv = [*_AGENT, *(word for option in options.items() for word in option)]
        argv += [word for queue in self.plan.queues for word in ("--queue", queue)]
        # Not on the command line: everybody on the machine can read that.
        environment = {
            "FARMHAND_AGENT_DRAIN_S": str(self.plan.drain_s),
            **self.plan.agent_settings,
            "FARMHAND_AGENT_AMQP_URL": self.services.amqp_url,
        }
        self._start(self.agents, name, argv, environment)
        return name

    def _start(self, group: dict[str, Part], name: str, argv: Sequence[str], settings: Mapping[str, str]) -> None:
        group[name] = Part(name, argv, {**_inherited(), **settings}, self.logs)
        group[name].start()

    def _kill_services(self) -> None:
        """They are thrown away: no need to let them put their things in order."""
        for server in (self.services.rabbitmq, self.services.postgres):
            if server is not None:
                server.kill()

    async def _stop(self) -> None:
        for group in (self.agents, self.coordinators):
            await asyncio.gather(*(part.stop(timeout_s=_GRACE_S) for part in group.values()))
        if self.plan.directory is None:
            await asyncio.to_thread(self._kill_services)
        await asyncio.to_thread(self.services.stop)
        if self._directory is not None:
            self._directory.close()


def _inherited() -> dict[str, str]:
    """Our environment, without settings that are not meant for this farm."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FARMHAND_")}
    if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Common in containers. Compiling everything in each process would cost seconds: compile once, elsewhere.
        environment["PYTHONPYCACHEPREFIX"] = str(cache_directory() / "bytecode")
    return environment


def _reachable(host: str) -> str:
    """Where to reach from here what listens on *host*."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        return LOOPBACK
    return f"[{host}]" if ":" in host else host
