"""Real Postgres and RabbitMQ for the tests: a fresh database and a fresh virtual host for each test that asks.

`FARMHAND_DATABASE_URL` and `FARMHAND_AMQP_URL` name servers to use, `FARMHAND_TEST_MANAGEMENT_URL` the management
interface of that broker (then each test has a virtual host of its own, and tests may run beside one another); else
private servers are started (`coordinator.local`). `FARMHAND_TEST_SERVICES=containers` insists on containers, of the
images that `FARMHAND_POSTGRES_IMAGE` and `FARMHAND_RABBITMQ_IMAGE` name.
"""

import contextlib
import os
import secrets
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import aio_pika
import asyncpg
import httpx
from aio_pika.exceptions import ChannelClosed

from coordinator.local.containers import POSTGRES_IMAGE, RABBITMQ_IMAGE
from coordinator.local.rabbitmq import EVENT_EXCHANGE, MANAGEMENT
from coordinator.local.services import Services, Wanted
from schemas.topology import QUEUES


def services(*, given: bool = True, **wanted: Any) -> Services:
    """Services for tests, not started yet; `given=False` for servers of one's own, to be killed at will."""
    environment = os.environ
    kind: dict[str, Any] = {
        "database_url": environment.get("FARMHAND_DATABASE_URL") if given else None,
        "amqp_url": environment.get("FARMHAND_AMQP_URL") if given else None,
        "plugins": (MANAGEMENT, EVENT_EXCHANGE),
        "durable": False,
        "containers_only": environment.get("FARMHAND_TEST_SERVICES") == "containers",
        "postgres_image": environment.get("FARMHAND_POSTGRES_IMAGE", POSTGRES_IMAGE),
        "rabbitmq_image": environment.get("FARMHAND_RABBITMQ_IMAGE", RABBITMQ_IMAGE),
    }
    return Services(Wanted(**kind | wanted), say=lambda line: print(f"\n{line}", file=sys.stderr))


async def create_database(server_url: str, template: str | None = None) -> str:
    """Make a database on the server, a copy of database *template*; its URL."""
    name = f"farmhand_test_{secrets.token_hex(6)}"
    source = f' TEMPLATE "{template}"' if template else ""
    await _execute(server_url, f'CREATE DATABASE "{name}"{source}')
    return _with_path(server_url, name)


async def drop_database(server_url: str, url: str) -> None:
    """Remove the database *url*, whoever is still connected."""
    await _execute(server_url, f'DROP DATABASE "{name_of(url)}" WITH (FORCE)')


@asynccontextmanager
async def database(server_url: str, template: str | None = None) -> AsyncIterator[str]:
    """A database that is gone afterwards."""
    url = await create_database(server_url, template)
    try:
        yield url
    finally:
        await drop_database(server_url, url)


def name_of(url: str) -> str:
    """The name of the database or the virtual host in *url*."""
    return unquote(urlsplit(url).path.removeprefix("/"))


def management_of(management_url: str) -> httpx.AsyncClient:
    """A client of a broker's management API.

    Each call has a connection of its own: the broker ends one that was idle for five seconds, perhaps just when it is
    used again.
    """
    # Reading the authorities of TLS, which is not spoken here, would take longer than the calls.
    no_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    each = httpx.Limits(max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=f"{management_url}/api", timeout=60, verify=no_tls, limits=each)


@asynccontextmanager
async def virtual_host(amqp_url: str, management_url: str | None) -> AsyncIterator[str]:
    """A virtual host of its own on the broker.

    On a broker that was given without its management interface: the given one, with our queues empty.
    """
    management_url = management_url or os.environ.get("FARMHAND_TEST_MANAGEMENT_URL")
    if management_url is None:
        await _purge(amqp_url)
        yield amqp_url
        return
    name = f"test-{secrets.token_hex(6)}"
    user = urlsplit(amqp_url).username
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    async with management_of(management_url) as management:
        (await management.put(f"/vhosts/{name}")).raise_for_status()
        try:
            (await management.put(f"/permissions/{name}/{user}", json=everything)).raise_for_status()
            yield _with_path(amqp_url, name)
        finally:
            await management.delete(f"/vhosts/{name}")


def _with_path(url: str, path: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path="/" + quote(path, safe="")))


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def _purge(amqp_url: str) -> None:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        for queue in QUEUES:
            with contextlib.suppress(ChannelClosed):
                channel = await connection.channel()
                await (await channel.declare_queue(queue.name, passive=True)).purge()
