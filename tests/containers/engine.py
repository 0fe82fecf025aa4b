"""A Docker engine for as long as it is needed: the one that answers, else a private one of our own.

The private engine is for machines that have the program `dockerd` but no running engine (a build machine, a bare
server). It listens on a socket in a temporary directory, keeps its images in the user's cache directory so that the
next run is quick, never touches the machine's firewall, dies with this process, and takes its containers with it.
What such a machine may pull nobody knows: its images are made from packages. One at a time: a second run waits.

    python -m tests.containers.engine COMMAND [ARGUMENT...]    runs COMMAND where docker's clients find an engine
"""

import ctypes
import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

START_TIMEOUT_S: Final = 60
STOP_TIMEOUT_S: Final = 30
_BRIDGE: Final = Path("/sys/class/net/docker0")
_PR_SET_PDEATHSIG: Final = 1


class EngineUnavailableError(Exception):
    """No engine answers and none can be started; the text says what to do."""


@dataclass(frozen=True)
class Engine:
    """An engine that answers: the environment in which docker's clients and testcontainers find it."""

    environment: dict[str, str]


def answering() -> Engine | None:
    """The engine that the environment points to, or None when nothing answers there."""
    if shutil.which("docker") is None:
        return None
    probe = subprocess.run(["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, check=False)
    return Engine(_environment(dict(os.environ))) if probe.returncode == 0 else None


@contextmanager
def engine() -> Iterator[Engine]:
    """Yield the engine that answers, or a private one that ends with the block."""
    found = answering()
    if found is not None:
        yield found
        return
    _require_startable()
    with (
        _the_only_one(_cache_directory()) as cache,
        tempfile.TemporaryDirectory(prefix="farmhand-docker-") as run,
        _private_engine(cache, Path(run)) as private,
    ):
        yield private


def _environment(environment: dict[str, str]) -> dict[str, str]:
    """Tell testcontainers to do without its reaper, and inside a container where published ports are.

    The reaper's image may not be had; what it would remove, `_remove_leftovers` does.
    """
    environment.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
    if Path("/.dockerenv").exists():
        environment.setdefault("TESTCONTAINERS_CONNECTION_MODE", "docker_host")
    return environment


def _require_startable() -> None:
    missing = [program for program in ("dockerd", "docker", "containerd", "runc") if shutil.which(program) is None]
    if missing:
        raise EngineUnavailableError(
            f"no Docker engine answers, and none can be started without {', '.join(missing)}: "
            "install Docker (Debian: apt-get install --no-install-recommends docker.io) or set DOCKER_HOST"
        )
    if os.geteuid() != 0:
        raise EngineUnavailableError(
            "no Docker engine answers, and only root can start one: start Docker, set DOCKER_HOST, or use sudo"
        )


def _cache_directory() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    directory = Path(base).expanduser() / "farmhand" / "docker"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def _the_only_one(cache: Path) -> Iterator[Path]:
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("engine: another run has the private Docker engine; waiting for it to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield cache


@contextmanager
def _private_engine(cache: Path, run: Path) -> Iterator[Engine]:
    environment = _environment(
        {"FARMHAND_IMAGES": "packages", **os.environ, "DOCKER_HOST": f"unix://{run}/docker.sock"}
    )
    had_bridge = _BRIDGE.exists()
    with (cache / "dockerd.log").open("wb") as log:
        daemon = _start(cache, run, environment, log.fileno())
        try:
            yield Engine(environment)
        finally:
            _remove_leftovers(environment)
            _stop(daemon)
            for namespace in (run / "exec" / "netns").glob("*"):  # the host's own stays mounted when it was used
                subprocess.run(["umount", str(namespace)], capture_output=True, check=False)
            if not had_bridge and shutil.which("ip"):
                subprocess.run(["ip", "link", "delete", "docker0"], capture_output=True, check=False)


def _start(cache: Path, run: Path, environment: dict[str, str], log: int) -> subprocess.Popen[bytes]:
    """Start dockerd and return when it serves; it says so on the datagram socket that NOTIFY_SOCKET names."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(run / "notify"))
        daemon = subprocess.Popen(
            [
                "dockerd",
                f"--host={environment['DOCKER_HOST']}",
                f"--data-root={cache / 'data'}",
                f"--exec-root={run / 'exec'}",
                f"--pidfile={run / 'pid'}",
                "--iptables=false",
                "--ip6tables=false",
                "--ip-masq=false",
                "--ip-forward=false",
            ],
            env={**environment, "NOTIFY_SOCKET": str(run / "notify")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - this program has one thread
        )
        ended = os.pidfd_open(daemon.pid)
        try:
            readable, _, _ = select.select([ready.fileno(), ended], [], [], START_TIMEOUT_S)
            serves = ready.fileno() in readable
        finally:
            os.close(ended)
    if serves:
        return daemon
    _stop(daemon)
    raise EngineUnavailableError(f"dockerd did not start; its last words:\n{_last_words(cache / 'dockerd.log')}")


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    os.setpgid(0, 0)  # Ctrl-C is for us: we end the engine when its containers are gone


def _last_words(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:])


def _remove_leftovers(environment: dict[str, str]) -> None:
    """What an interrupted test left behind would otherwise come back with the next private engine."""
    listed = subprocess.run(["docker", "ps", "--all", "--quiet"], env=environment, capture_output=True, check=False)
    containers = listed.stdout.decode().split()
    if containers:
        subprocess.run(["docker", "rm", "--force", *containers], env=environment, capture_output=True, check=False)
    for kind in ("volume", "network"):
        subprocess.run(["docker", kind, "prune", "--force"], env=environment, capture_output=True, check=False)


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def say(line: str) -> None:
    """Tell the person who runs this."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def exit_on_signals() -> None:
    """Make SIGTERM and SIGHUP end this program as Ctrl-C does, once, so that what was started is stopped."""

    def leave(number: int, _frame: FrameType | None) -> None:
        for each in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, leave)


def main(command: list[str]) -> int:
    """Run *command* with an engine; its exit code, or 69 when there is no engine."""
    if not command:
        say(__doc__ or "")
        return 2
    exit_on_signals()
    try:
        with engine() as found:
            return subprocess.run(command, env=found.environment, check=False).returncode
    except EngineUnavailableError as error:
        say(f"engine: {error}")
        return 69
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
