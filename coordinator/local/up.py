"""A farm on this machine for real use: it keeps its data, and starts again what ends by itself."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, runtime_checkable

from pydantic import SecretStr

from coordinator.client.config import ADMIN_TOKEN, default_directory
from coordinator.config import Settings, is_loopback
from coordinator.domain.access import Auth
from coordinator.local.errors import LocalServiceError
from coordinator.local.farm import LocalFarm
from coordinator.local.part import Part
from coordinator.local.plan import Plan
from coordinator.local.ports import LOOPBACK, is_free

DEFAULT_PORT: Final = 8600
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 60.0
#: Who lives this long has started well.
_WELL_S: Final = 60.0
_LOOK_EVERY_S: Final = 1.0
_DRAIN_S: Final = 5.0

#: What an agent exits with that was asked to restart.
_RESTART_ASKED: Final = 10

Say = Callable[[str], None]


@runtime_checkable
class Watched(Protocol):
    """A server whose process can be seen; one in a container is the engine's affair."""

    @property
    def pid(self) -> int | None:
        """None when it does not run."""

    def restart(self) -> None:
        """Start it again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the farm is wanted."""

    data_dir: Path
    agents: int = 1
    slots: int = 1
    http_host: str = LOOPBACK
    http_port: int = DEFAULT_PORT
    gateways: str | None = None


async def run(options: Options, say: Say) -> int:
    """Run a farm until cancelled.

    Raises:
        LocalServiceError: it does not start; nothing is left running.
    """
    plan = plan_of(options)
    if not is_free(options.http_port):
        place = f"port {options.http_port} is taken"
        raise LocalServiceError(f"{place}: stop what listens there, or choose another with --http HOST:PORT")
    say(f"starting a farm in {options.data_dir}")
    async with LocalFarm(plan, say=say) as farm:
        for line in where_things_are(farm):
            say(line)
        try:
            await _keep_alive(farm, say)
        finally:
            say("stopping: the agents hand back what they hold")
    return 0


def plan_of(options: Options) -> Plan:
    """The farm that is wanted: what was said on the command line counts more than the environment.

    Raises:
        LocalServiceError: strangers could run programs on it.
    """
    settings = _given_settings()
    if options.gateways is not None:
        settings["FARMHAND_GATEWAYS"] = options.gateways
    is_open = settings.get("FARMHAND_AUTH") == Auth.OPEN
    if is_open and not is_loopback(options.http_host):
        raise LocalServiceError(
            f"{options.http_host} can be reached from other machines, and whoever reaches it can run programs here: "
            "do not set FARMHAND_AUTH=open"
        )
    return Plan(
        agents=options.agents,
        slots=options.slots,
        directory=options.data_dir,
        http_host=options.http_host,
        http_port=options.http_port,
        drain_s=_DRAIN_S,
        closed=not is_open,
        settings=settings,
        agent_settings={"FARMHAND_AGENT_CAN_RESTART": "true"},
    )


def where_things_are(farm: LocalFarm) -> list[str]:
    """What a person needs to know of a farm that has just started."""
    plan = farm.plan
    token = farm.path / ADMIN_TOKEN
    place = f"FARMHAND_API_TOKEN_FILE={token} " if plan.closed and farm.path != default_directory() else ""
    place += "" if farm.url == f"http://{LOOPBACK}:{DEFAULT_PORT}" else f"FARMHAND_URL={farm.url} "
    return [
        "",
        f"The farm is up: {farm.url}",
        f"  agents    {', '.join(farm.agents)}, {plan.slots} slots each",
        f"  results   {farm.published}",
        f"  outputs   {farm.outputs}",
        f"  logs      {farm.logs}",
        f"  database  {_without_password(farm.services.database_url)}",
        f"  broker    {_without_password(farm.services.amqp_url)}",
        f"  (passwords: {farm.path / 'services' / 'services.json'})",
        *([f"  token     {token} (an admin's; commands of this user here find it)"] if plan.closed else []),
        "",
        "Next, in another terminal:",
        f"  {place}farmhand workers",
        f"  {place}farmhand submit --wait -- echo hello",
        f"  {place}farmhand jobs",
        "",
        "Ctrl-C stops it; the data stays.",
    ]


async def _keep_alive(farm: LocalFarm, say: Say) -> None:
    async with asyncio.TaskGroup() as group:
        for part in farm.parts.values():
            group.create_task(_keep_part(part, say))
        for name, server in (("Postgres", farm.services.postgres), ("RabbitMQ", farm.services.rabbitmq)):
            if isinstance(server, Watched):
                group.create_task(_keep_server(name, server, say))


async def _keep_part(part: Part, say: Say) -> None:
    pause_s = _FIRST_PAUSE_S
    while True:
        began = time.monotonic()
        await part.ended()
        if part.exit_code == 0:
            say(f"{part.name} has left, as it was asked to; it stays away until the next start")
            return
        if part.exit_code != _RESTART_ASKED:
            pause_s = _next_pause(pause_s, time.monotonic() - began)
            say(str(part.failure(f"ended ({_how(part.exit_code)})")))
            say(f"{part.name} is started again in {pause_s:.0f} s")
            await asyncio.sleep(pause_s)
        part.start()
        say(f"{part.name} is started again")


async def _keep_server(name: str, server: Watched, say: Say) -> None:
    pause_s = _FIRST_PAUSE_S
    began = time.monotonic()
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        if server.pid is not None:
            continue
        pause_s = _next_pause(pause_s, time.monotonic() - began)
        say(f"{name} has ended; it is started again in {pause_s:.0f} s")
        await asyncio.sleep(pause_s)
        try:
            await asyncio.to_thread(server.restart)
        except LocalServiceError as error:
            say(str(error))
        else:
            say(f"{name} is started again")
        began = time.monotonic()


def _how(code: int | None) -> str:
    """An exit code in words."""
    return f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"


def _next_pause(last_s: float, lived_s: float) -> float:
    """Twice the pause before, but short again for who had started well."""
    return min(2 * (_FIRST_PAUSE_S if lived_s >= _WELL_S else last_s), _LONGEST_PAUSE_S)


def _given_settings() -> dict[str, str]:
    """The settings given to us, for the coordinator; those about its services and place it gets from the farm."""
    settings = Settings()
    given = settings.model_dump(include=settings.model_fields_set, mode="json")
    for name in given:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            given[name] = value.get_secret_value()
    return {f"FARMHAND_{name.upper()}": str(value) for name, value in given.items()}


def _without_password(url: str) -> str:
    scheme, _, rest = url.partition("://")
    account, at, place = rest.rpartition("@")
    return f"{scheme}://{account.partition(':')[0]}{at}{place}"
