"""What must be so before a coordinator can begin, and what is told in one line when it is not."""

import asyncio
from collections.abc import Sequence

from coordinator.config import Settings, is_loopback
from coordinator.gateways import GATEWAYS
from coordinator.gateways.hosting import Place, chosen
from coordinator.gateways.kit import Gateway
from coordinator.storage.migrate import newest, revision
from coordinator.transport import Broker


class StartError(Exception):
    """The coordinator cannot start; the message says why and what to do (one line)."""


def gateways_of(settings: Settings, known: Sequence[Gateway] = GATEWAYS) -> list[Place]:
    """The gateways that are on. Raises `StartError`."""
    try:
        found = chosen(settings.gateways, known)
    except ValueError as error:
        raise StartError(f"FARMHAND_GATEWAYS: {error}") from error
    shared = [one for one in found if one.host is None and one.gateway.free]
    if shared and not is_loopback(settings.http_host):
        name = shared[0].gateway.name
        raise StartError(
            f"gateway {name} asks nobody who he is, and {settings.http_host} can be reached from other machines: "
            f"give it an address of its own, such as {name}@127.0.0.1:8601"
        )
    return found


async def require_schema(database_url: str) -> None:
    """Raise `StartError` unless the database is there and of this release."""
    try:
        there = await revision(database_url)
    except Exception as error:
        raise StartError(f"cannot use the database: {_one_line(error)}; check FARMHAND_DATABASE_URL") from error
    if there != newest():
        raise StartError(
            f"the database is at revision {there or 'none'}, this release needs {newest()}: run `farmhand migrate`"
        )


def _one_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


async def check(settings: Settings) -> list[tuple[str, bool, str]]:
    """Whether what the settings name can be used: (what, whether, details)."""
    found = []
    try:
        there = await revision(settings.database_url)
        found.append(("database", there == newest(), f"revision {there or 'none'}, needed {newest()}"))
    except Exception as error:  # noqa: BLE001  (shown to a person)
        found.append(("database", False, _one_line(error)))
    try:
        async with asyncio.timeout(5):
            broker = Broker(settings.amqp_url, coordinator="check")
            await broker.open()
            await broker.close()
        found.append(("broker", True, "connected, topology declared"))
    except TimeoutError:
        found.append(("broker", False, "no answer within 5 s"))
    except Exception as error:  # noqa: BLE001  (shown to a person)
        found.append(("broker", False, _one_line(error)))
    return found
