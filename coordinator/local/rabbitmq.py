"""A private RabbitMQ node: its own epmd, cookie, directory, ports and password; loopback only.

May be killed and started again on the same directory and ports. Readiness is what the node itself says over
NOTIFY_SOCKET, the way it would tell systemd; no polling.
"""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from coordinator.local.binaries import RabbitBinaries
from coordinator.local.errors import LocalServiceError
from coordinator.local.ports import LOOPBACK
from coordinator.local.processes import Child, Program

USER: Final = "farmhand"
NODE: Final = "farmhand@localhost"
MANAGEMENT: Final = "rabbitmq_management"
PROMETHEUS: Final = "rabbitmq_prometheus"
EVENT_EXCHANGE: Final = "rabbitmq_event_exchange"
_READY_S: Final = 120.0
#: A quorum queue keeps in memory what its log of writes holds; the default is 512 MiB.
_WAL_BYTES: Final = 16 * 1024 * 1024
#: So begin those settings of the broker for which rabbitmq.conf has no word: they are given on the command line.
_UNNAMED: Final = "rabbit."


@dataclass(frozen=True, slots=True)
class RabbitPorts:
    """Where a node listens; `epmd` and `distribution` are between it and `rabbitmqctl`."""

    amqp: int
    management: int
    prometheus: int
    epmd: int
    distribution: int


class PrivateRabbit:
    """One RabbitMQ node."""

    def __init__(
        self,
        binaries: RabbitBinaries,
        directory: Path,
        *,
        ports: RabbitPorts,
        password: str,
        plugins: Sequence[str],
        node: str = NODE,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """A node that keeps its data under *directory*; *settings*, in the words of rabbitmq.conf, come before ours."""
        self._binaries = binaries
        self._directory = directory
        self._ports = ports
        self._password = password
        self._plugins = tuple(plugins)
        self.node = node
        given = dict(settings or {})
        self._unnamed = {name: given.pop(name) for name in tuple(given) if name.startswith(_UNNAMED)}
        self._settings = given
        self._epmd: Child | None = None
        self._node: Child | None = None
        self._signs: socket.socket | None = None
        self._signs_directory: Path | None = None

    @property
    def url(self) -> str:
        """Where, as whom, and which virtual host: `/`, the one of the event exchange."""
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{self._ports.amqp}/"

    @property
    def management_url(self) -> str | None:
        """The management API, name and password included; None without the plugin."""
        if MANAGEMENT not in self._plugins:
            return None
        return f"http://{USER}:{self._password}@{LOOPBACK}:{self._ports.management}"

    @property
    def metrics_url(self) -> str | None:
        """What Prometheus reads; None without the plugin."""
        return f"http://{LOOPBACK}:{self._ports.prometheus}/metrics" if PROMETHEUS in self._plugins else None

    @property
    def pid(self) -> int | None:
        """The process id of the node, while it runs."""
        return self._node.pid if self._node and self._node.running else None

    @property
    def data(self) -> Path:
        """Where it keeps its messages."""
        return self._directory / "data"

    def spawn(self) -> None:
        """Start it; `wait_ready` says when it answers."""
        self._prepare()
        self._listen_for_signs()
        if self._epmd is None or not self._epmd.running:
            epmd = [str(self._binaries.epmd), "-port", str(self._ports.epmd), "-address", LOOPBACK]
            self._epmd = Child(self._program("epmd", epmd))
        self._node = Child(self._program("rabbitmq", [str(self._binaries.server)]))

    def wait_ready(self) -> None:
        """Return when it accepts connections.

        Raises:
            LocalServiceError: it ended instead, or takes too long.
        """
        if self._node is None or self._signs is None:
            raise LocalServiceError("RabbitMQ was not started")
        try:
            while True:
                if self._node.ended_before(self._signs.fileno(), _READY_S):
                    raise self._node.failure("ended while starting")
                if b"READY=1" in self._signs.recv(4096):
                    return
        finally:
            self._forget_signs()

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.spawn()
        self.wait_ready()

    def stop(self) -> None:
        """End it in good order; the data stays."""
        if self._node:
            self._node.stop(signal.SIGTERM, timeout_s=60)
        if self._epmd:
            self._epmd.kill()
        self._forget_signs()

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._node:
            self._node.kill()

    def restart(self) -> None:
        """Start it again on the same directory and ports, after `stop`, `kill` or as it is."""
        self.stop()
        self.start()

    def forget(self) -> None:
        """Lose all data, as when its disk is replaced. It must not be running."""
        shutil.rmtree(self.data, ignore_errors=True)

    def ctl(self, *words: str, timeout_s: float = 60) -> str:
        """What `rabbitmqctl` *words* prints. It starts an Erlang of its own: a second or two.

        Raises:
            LocalServiceError: it refused; with its reason.
        """
        done = subprocess.run(
            [str(self._binaries.ctl), "--quiet", "-n", self.node, *words],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise LocalServiceError(f"rabbitmqctl {words[0]}: {reason(done.stderr + done.stdout)}")
        return done.stdout

    def switch(self, plugins: Sequence[str]) -> None:
        """Have these plugins on and no others, from now on, while it runs; `rabbitmq-plugins set` does the same."""
        self._plugins = tuple(plugins)
        self._prepare()
        self.ctl("eval", f'rabbit_plugins:ensure("{self._directory / "enabled_plugins"}").')

    def _prepare(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        cookie = self._directory / ".erlang.cookie"
        if not cookie.exists():
            _write(cookie, secrets.token_hex(20))
        _write(self._directory / "enabled_plugins", f"[{','.join(self._plugins)}].\n")
        _write(self._directory / "rabbitmq.conf", self._configuration())

    def _configuration(self) -> str:
        settings = {
            "listeners.tcp.1": f"{LOOPBACK}:{self._ports.amqp}",
            "default_user": USER,
            "default_pass": self._password,
            "log.console": "false",
            "log.file": "rabbitmq-node.log",
            "log.file.rotation.size": "10485760",
            "log.file.rotation.count": "3",
            "raft.wal_max_size_bytes": str(_WAL_BYTES),
            # Else processes that have little to do keep what they have passed on.
            "background_gc_enabled": "true",
        }
        if MANAGEMENT in self._plugins:
            settings |= {"management.tcp.ip": LOOPBACK, "management.tcp.port": str(self._ports.management)}
        if PROMETHEUS in self._plugins:
            settings |= {"prometheus.tcp.ip": LOOPBACK, "prometheus.tcp.port": str(self._ports.prometheus)}
        return "".join(f"{name} = {value}\n" for name, value in (settings | self._settings).items())

    def _environment(self) -> dict[str, str]:
        here, nowhere = str(self._directory), str(self._directory / "none")
        arguments = (f"-rabbit {name.removeprefix(_UNNAMED)} {value}" for name, value in self._unnamed.items())
        return {
            **self._binaries.env,
            "HOME": here,
            "ERL_EPMD_PORT": str(self._ports.epmd),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_CONF_ENV_FILE": nowhere,
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq",
            "RABBITMQ_CONFIG_FILES": f"{nowhere}/*.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{nowhere}.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/enabled_plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": f"{here}/config",
            "RABBITMQ_MNESIA_BASE": f"{here}/data",
            "RABBITMQ_LOG_BASE": f"{here}/log",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_DIST_PORT": str(self._ports.distribution),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": " ".join(
                ("-kernel inet_dist_use_interface {127,0,0,1}", *arguments)
            ),
        }

    def _program(self, name: str, argv: Sequence[str]) -> Program:
        environment = self._environment()
        if name == "rabbitmq" and self._signs:
            environment["NOTIFY_SOCKET"] = str(self._signs.getsockname())
        return Program(f"RabbitMQ ({name})", argv, environment, self._directory / f"{name}.log")

    def _listen_for_signs(self) -> None:
        # Not in our own directory: the path of a socket has at most 107 bytes.
        self._forget_signs()
        self._signs_directory = Path(tempfile.mkdtemp(prefix="farmhand-signs-"))
        self._signs = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._signs.bind(str(self._signs_directory / "notify"))

    def _forget_signs(self) -> None:
        if self._signs and self._signs_directory:
            self._signs.close()
            shutil.rmtree(self._signs_directory, ignore_errors=True)
            self._signs = self._signs_directory = None


def reason(output: str) -> str:
    """The line of rabbitmqctl's *output* that says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip() not in {"", "Error:"}]
    return lines[0] if lines else "no reason given"


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
