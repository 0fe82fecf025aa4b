"""What kind of farm is wanted on this machine, and the processes it is made of: their commands, settings, places."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from coordinator.local.binaries import cache_directory
from coordinator.local.part import Part
from coordinator.local.ports import LOOPBACK

#: The commands, of this very installation whatever is on the path. -P: their working directory is not for import.
_FARMHAND: Final = (sys.executable, "-P", "-c", "from coordinator.cli import main; main()")
_AGENT: Final = (sys.executable, "-P", "-c", "from worker_agent.cli import main; main()")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What kind of farm. `directory` keeps everything; None is a temporary one.

    `drain_s` is how long agents may finish what they run when the farm stops, before they hand it back. `closed`: calls
    need a token; the farm has one for its owner and one for its agents. `published` is where promoted outputs go, if
    not into the farm's directory. `settings` are further settings of the coordinators and `agent_settings` of the
    agents, as environment variables; `broker_settings` are those of a private broker, in the words of rabbitmq.conf
    (`rabbit.name` where it has none). `through` gives the way that a process (by name) takes to a service (by URL).
    `apart`: each agent is in a zone of its own, so that the ends of some are no mass failure. `coordinator` is the
    command of the coordinators.
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
    closed: bool = False
    apart: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)
    agent_settings: Mapping[str, str] = field(default_factory=dict)
    broker_settings: Mapping[str, str] = field(default_factory=dict)
    through: Callable[[str, str], str] = lambda _name, url: url
    coordinator: Sequence[str] = (*_FARMHAND, "coordinator")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a farm keeps what, and where its services are."""

    root: Path
    published: Path
    database_url: str
    amqp_url: str
    agents_token: str | None = None
    management_url: str | None = None

    @property
    def outputs(self) -> Path:
        """Below it each attempt has a directory of its own."""
        return self.root / "outputs"

    @property
    def logs(self) -> Path:
        """One file for each process."""
        return self.root / "logs"


def a_coordinator(name: str, plan: Plan, places: Places, port: str) -> Part:
    """The process of a coordinator, not started yet."""
    settings = {
        "FARMHAND_OUTPUTS_DIR": str(places.root / "uploads"),
        **plan.settings,
        "FARMHAND_DATABASE_URL": plan.through(name, places.database_url),
        "FARMHAND_AMQP_URL": plan.through(name, places.amqp_url),
        **({"FARMHAND_MANAGEMENT_URL": places.management_url} if places.management_url else {}),
        "FARMHAND_HTTP_HOST": plan.http_host,
        "FARMHAND_HTTP_PORT": port,
        "FARMHAND_COORDINATOR_ID": name,
        "FARMHAND_LOG_FORMAT": "json",
        # An error that nobody expected should be found in the log with its place.
        "FARMHAND_DEBUG": "1",
    }
    return Part(name, plan.coordinator, {**inherited(), **settings}, places.logs)


def an_agent(name: str, plan: Plan, places: Places, slots: int, coordinator_url: str) -> Part:
    """The process of an agent, not started yet."""
    home = places.root / "agents" / name
    home.mkdir(parents=True, exist_ok=True)
    options = {
        "--worker": name,
        "--slots": str(slots),
        "--data-dir": str(home),
        "--output-root": str(places.outputs),
        "--publish-root": str(places.published),
        "--coordinator-url": coordinator_url,
        "--log-format": "json",
    }
    argv = [*_AGENT, *(word for option in options.items() for word in option)]
    argv += ["--zone", name] if plan.apart else []
    argv += [word for queue in plan.queues for word in ("--queue", queue)]
    settings = {
        "FARMHAND_AGENT_DRAIN_S": str(plan.drain_s),
        **plan.agent_settings,
        # Not on the command line: everybody on the machine can read that.
        "FARMHAND_AGENT_AMQP_URL": plan.through(name, places.amqp_url),
    }
    if token := places.agents_token or plan.settings.get("FARMHAND_API_TOKEN"):
        settings["FARMHAND_AGENT_COORDINATOR_TOKEN"] = token
    return Part(name, argv, {**inherited(), **settings}, places.logs)


def reachable(host: str) -> str:
    """Where to reach from here what listens on *host*."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104 - compared, not bound
        return LOOPBACK
    return f"[{host}]" if ":" in host else host


def inherited() -> dict[str, str]:
    """Our environment, without settings that are not meant for this farm."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("FARMHAND_")}
    if environment.pop("PYTHONDONTWRITEBYTECODE", ""):
        # Common in containers. Compiling everything in each process would cost seconds: compile once, elsewhere.
        environment["PYTHONPYCACHEPREFIX"] = str(cache_directory() / "bytecode")
    return environment
