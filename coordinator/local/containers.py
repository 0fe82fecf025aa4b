"""Postgres and RabbitMQ in containers, through testcontainers: where a Docker engine answers.

Same promises as the private servers: loopback ports that stay the same over a restart, a password, gone at the end.
The images speak the official ones' environment variables.
"""

import contextlib
import socket
import time
from collections.abc import Sequence
from typing import Final, cast

from coordinator.local.errors import LocalServiceError
from coordinator.local.ports import LOOPBACK, free_port
from coordinator.local.rabbitmq import MANAGEMENT, NODE, reason

POSTGRES_IMAGE: Final = "postgres:16"
RABBITMQ_IMAGE: Final = "rabbitmq:4-management"
_USER: Final = "farmhand"
_ENGINE: Final = "unix:///var/run/docker.sock"
_READY_S: Final = 120.0
_AMQP_GREETING: Final = b"AMQP\x00\x00\x09\x01"


def engine_answers() -> bool:
    """Whether a Docker engine is there."""
    import docker  # noqa: PLC0415 - an extra; slow to import
    from docker.errors import DockerException  # noqa: PLC0415
    from docker.utils import kwargs_from_env  # noqa: PLC0415

    host = kwargs_from_env().get("base_url", _ENGINE)
    # docker-py leaks the socket that could not be connected: look before it does.
    if host.startswith("unix://") and not _listens(host.removeprefix("unix://")):
        return False
    try:
        client = docker.from_env(timeout=5)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


class _Contained:
    """One container with fixed ports on the host."""

    def __init__(self, image: str, env: dict[str, str], ports: Sequence[int]) -> None:
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - an extra

        self._image = image
        self._container = DockerContainer(image, env=env)
        self._host = self._container.get_docker_client().host()
        local = self._host in {"localhost", LOOPBACK}
        self._ports = {port: free_port() for port in ports}
        for inside, outside in self._ports.items():
            # docker-py takes (address, port) as well; testcontainers' annotation does not know.
            self._container.ports[str(inside)] = cast("int", (LOOPBACK, outside)) if local else outside
        self._host = LOOPBACK if local else self._host
        self._made = False

    def spawn(self) -> None:
        """Make and start the container, or start it again."""
        try:
            if self._made:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._made = True
        except Exception as error:
            with contextlib.suppress(Exception):
                self._container.stop()
            raise LocalServiceError(f"container {self._image}: {_first_line(error)}") from error

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when it accepts connections.

        Raises:
            LocalServiceError: it ended instead, or takes too long.
        """
        deadline = time.monotonic() + _READY_S
        while not self._answers():
            wrapped = self._container.get_wrapped_container()
            wrapped.reload()
            if wrapped.status == "exited" or time.monotonic() > deadline:
                words = wrapped.logs(tail=1).decode(errors="replace").strip()
                raise LocalServiceError(f"container {self._image} did not become ready: {words or 'it said nothing'}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Remove the container."""
        if self._made:
            self._container.stop()
            self._made = False

    def kill(self) -> None:
        """End it as a power cut would; the container stays."""
        if self._made:
            self._container.get_wrapped_container().kill()

    def restart(self) -> None:
        """Start it again on the same data and ports."""
        self._container.get_wrapped_container().stop(timeout=30)
        self.start()

    def run(self, *argv: str) -> tuple[int, str]:
        """Run *argv* inside: status and output."""
        result = self._container.exec(list(argv))
        return result.exit_code or 0, result.output.decode(errors="replace")

    def _answers(self) -> bool:
        raise NotImplementedError


class ContainedPostgres(_Contained):
    """Postgres in a container."""

    def __init__(self, image: str, password: str) -> None:
        """A server of *image*."""
        env = {"POSTGRES_USER": _USER, "POSTGRES_PASSWORD": password, "POSTGRES_DB": _USER}
        super().__init__(image, env, [5432])
        self._password = password

    @property
    def url(self) -> str:
        """Where, as whom, and which database."""
        return f"postgresql://{_USER}:{self._password}@{self._host}:{self._ports[5432]}/{_USER}"

    def _answers(self) -> bool:
        status, _ = self.run("pg_isready", "--quiet", "--host", "127.0.0.1", "--dbname", _USER, "--username", _USER)
        return status == 0


class ContainedRabbit(_Contained):
    """RabbitMQ in a container."""

    def __init__(self, image: str, password: str, plugins: Sequence[str]) -> None:
        """A node of *image* with *plugins*."""
        env = {
            "RABBITMQ_DEFAULT_USER": _USER,
            "RABBITMQ_DEFAULT_PASS": password,
            "RABBITMQ_NODENAME": NODE,
            "RABBITMQ_ENABLED_PLUGINS": ",".join(plugins),
        }
        super().__init__(image, env, [5672, 15672])
        self._password = password
        self._plugins = tuple(plugins)

    @property
    def url(self) -> str:
        """Where, as whom, and which virtual host."""
        return f"amqp://{_USER}:{self._password}@{self._host}:{self._ports[5672]}/"

    @property
    def management_url(self) -> str | None:
        """The management API, name and password included; None without the plugin."""
        if MANAGEMENT not in self._plugins:
            return None
        return f"http://{_USER}:{self._password}@{self._host}:{self._ports[15672]}"

    def ctl(self, *words: str) -> str:
        """What `rabbitmqctl` *words* prints inside.

        Raises:
            LocalServiceError: it refused; with its reason.
        """
        status, output = self.run("rabbitmqctl", "--quiet", "-n", NODE, *words)
        if status != 0:
            raise LocalServiceError(f"rabbitmqctl {words[0]}: {reason(output)}")
        return output

    def _answers(self) -> bool:
        """Whether the broker greets: an engine's proxy accepts connections before anything listens behind it."""
        try:
            with socket.create_connection((self._host, self._ports[5672]), timeout=5) as probe:
                probe.settimeout(5)
                probe.sendall(_AMQP_GREETING)
                return probe.recv(1) == b"\x01"
        except OSError:
            return False


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
