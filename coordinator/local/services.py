"""Postgres and RabbitMQ for one farm, from whatever this machine offers.

The ladder, for each of the two: the URL that was given; programs on this machine, started privately; containers, where
an engine answers; packages unpacked into a cache directory. A server that was given is used and never touched.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from coordinator.local import binaries, containers
from coordinator.local.directory import Directory
from coordinator.local.errors import LocalServiceError
from coordinator.local.postgres import PrivatePostgres
from coordinator.local.rabbitmq import EVENT_EXCHANGE, MANAGEMENT, PROMETHEUS, PrivateRabbit, RabbitPorts

ALL_PLUGINS: Final = (MANAGEMENT, EVENT_EXCHANGE, PROMETHEUS)


class Server(Protocol):
    """A server that is ours: it may be stopped, killed and started again, and keeps data and ports."""

    @property
    def url(self) -> str:
        """Where clients connect."""

    def spawn(self) -> None:
        """Start it; `wait_ready` says when it answers."""

    def wait_ready(self) -> None:
        """Return when it accepts connections."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """End it in good order."""

    def kill(self) -> None:
        """End it as a power cut would."""

    def restart(self) -> None:
        """Start it again, after `kill` or as it is."""


class RabbitServer(Server, Protocol):
    """A RabbitMQ that is ours."""

    @property
    def management_url(self) -> str | None:
        """The management API, name and password included; None without the plugin."""

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl` *words* prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What kind of services. The defaults are right for a demo: temporary, with all that the broker can tell.

    A server whose URL is given is used, not started; `postgres=False` and `rabbitmq=False` do without it altogether.
    `directory` keeps data, password and ports; None is a temporary one. `durable=False` gives up fsync: tests only.
    `broker_settings` are further ones of a broker that is ours, in the words of rabbitmq.conf (`rabbit.name` where it
    has none).
    """

    database_url: str | None = None
    amqp_url: str | None = None
    postgres: bool = True
    rabbitmq: bool = True
    directory: Path | None = None
    plugins: Sequence[str] = ALL_PLUGINS
    broker_settings: Mapping[str, str] = field(default_factory=dict)
    durable: bool = True
    postgres_port: int | None = None
    amqp_port: int | None = None
    management_port: int | None = None
    containers_only: bool = False
    postgres_image: str = containers.POSTGRES_IMAGE
    rabbitmq_image: str = containers.RABBITMQ_IMAGE


class Services:
    """Postgres and RabbitMQ while the context lasts: `with Services(): …` or `async with Services(): …`."""

    def __init__(self, wanted: Wanted | None = None, *, say: Callable[[str], None] = lambda _line: None) -> None:
        """Services as *wanted*; `say` gets a line for each thing that takes long."""
        self._wanted = wanted or Wanted()
        self._say = say
        self._directory: Directory | None = None
        self._change = threading.Lock()
        self.postgres: Server | None = None
        self.rabbitmq: RabbitServer | None = None

    @property
    def database_url(self) -> str:
        """Where Postgres is."""
        return self._wanted.database_url or _ours(self.postgres).url

    @property
    def amqp_url(self) -> str:
        """Where RabbitMQ is."""
        return self._wanted.amqp_url or _ours(self.rabbitmq).url

    @property
    def management_url(self) -> str | None:
        """The management API of a RabbitMQ of ours, name and password included."""
        return self.rabbitmq.management_url if self.rabbitmq else None

    def fetch(self) -> None:
        """Get the programs, if they are missing, without starting anything: what may take minutes, once.

        Raises:
            LocalServiceError: they cannot be had; with what to install.
        """
        wanted, cache = self._wanted, binaries.cache_directory()
        if wanted.containers_only:
            return
        if self._wants_postgres and not (binaries.find_postgres(cache) or self._container_will_do()):
            binaries.fetch_postgres(cache, self._say)
        if self._wants_rabbitmq and not (binaries.find_rabbitmq(cache) or self._container_will_do()):
            binaries.fetch_rabbitmq(cache, self._say)

    def start(self) -> None:
        """Start what is needed, both at once; returns when all of it answers.

        Raises:
            LocalServiceError: it cannot be done; nothing is left running.
        """
        with self._change:
            try:
                self._build()
                servers = [server for server in (self.rabbitmq, self.postgres) if server]
                for server in servers:
                    server.spawn()
                for server in servers:
                    server.wait_ready()
            except BaseException:
                self._end()
                raise

    def stop(self) -> None:
        """End what was started here, in good order. May be called again."""
        with self._change:
            self._end()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start, without holding up the event loop."""
        starting = asyncio.ensure_future(asyncio.to_thread(self.start))
        try:
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            await asyncio.wait([starting])
            await asyncio.to_thread(self.stop)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, without holding up the event loop."""
        await asyncio.shield(asyncio.to_thread(self.stop))

    def _build(self) -> None:
        if not (self._wants_postgres or self._wants_rabbitmq):
            return
        self._directory = Directory(self._wanted.directory)
        if self._wants_rabbitmq:
            self.rabbitmq = self._a_rabbitmq(self._directory)
        if self._wants_postgres:
            self.postgres = self._a_postgres(self._directory)

    @property
    def _wants_postgres(self) -> bool:
        return self._wanted.postgres and not self._wanted.database_url

    @property
    def _wants_rabbitmq(self) -> bool:
        return self._wanted.rabbitmq and not self._wanted.amqp_url

    def _a_postgres(self, directory: Directory) -> Server:
        cache = binaries.cache_directory()
        found = None if self._wanted.containers_only else binaries.find_postgres(cache)
        if found is None and self._container_will_do():
            return containers.ContainedPostgres(self._wanted.postgres_image, directory.password)
        return PrivatePostgres(
            found or binaries.fetch_postgres(cache, self._say),
            directory.path / "postgres",
            port=directory.port("postgres", self._wanted.postgres_port),
            password=directory.password,
            durable=self._wanted.durable,
        )

    def _a_rabbitmq(self, directory: Directory) -> RabbitServer:
        cache = binaries.cache_directory()
        found = None if self._wanted.containers_only else binaries.find_rabbitmq(cache)
        if found is None and self._container_will_do():
            return containers.ContainedRabbit(self._wanted.rabbitmq_image, directory.password, self._wanted.plugins)
        ports = RabbitPorts(
            amqp=directory.port("amqp", self._wanted.amqp_port),
            management=directory.port("management", self._wanted.management_port),
            prometheus=directory.port("prometheus"),
            epmd=directory.port("epmd"),
            distribution=directory.port("distribution"),
        )
        return PrivateRabbit(
            found or binaries.fetch_rabbitmq(cache, self._say),
            directory.path / "rabbitmq",
            ports=ports,
            password=directory.password,
            plugins=self._wanted.plugins,
            settings=self._wanted.broker_settings,
        )

    def _container_will_do(self) -> bool:
        """Containers hold nothing for the next time, so they serve temporary services only."""
        if self._wanted.containers_only and not containers.engine_answers():
            raise LocalServiceError("no Docker engine answers: start one, or do not ask for containers")
        return self._wanted.directory is None and containers.engine_answers()

    def _end(self) -> None:
        for server in (self.rabbitmq, self.postgres):
            if server and self._directory and self._directory.temporary:
                server.kill()
            if server:
                server.stop()
        self.rabbitmq = self.postgres = None
        if self._directory:
            self._directory.close()
            self._directory = None


def _ours(server: Server | None) -> Server:
    if server is None:
        raise LocalServiceError("the services are not running: start them first")
    return server
