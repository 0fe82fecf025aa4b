"""The private servers themselves: they start, keep what they promise to keep, and never outlive us."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import asyncpg
import httpx
import psutil
import pytest

from coordinator.local.errors import LocalServiceError
from coordinator.local.postgres import PrivatePostgres
from coordinator.local.rabbitmq import PrivateRabbit
from coordinator.local.services import Services
from tests.support import services as support

OwnServices = Callable[..., Services]


async def _value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def test_each_test_gets_a_migrated_database_of_its_own(database_url: str) -> None:
    assert await _value(database_url, "SELECT count(*) FROM tasks") == 0


async def test_each_test_gets_a_virtual_host_of_its_own(amqp_url: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue("only-here", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"hello"), "only-here")
        message = await queue.get(timeout=10)
        assert message is not None
        assert message.body == b"hello"
        await message.ack()


async def test_a_killed_postgres_comes_back_with_what_was_committed(own_services: OwnServices) -> None:
    services = own_services(rabbitmq=False, durable=True)
    assert services.postgres
    await _value(services.database_url, "CREATE TABLE kept AS SELECT 42 AS answer")
    services.postgres.kill()
    with pytest.raises(OSError, match="Connect call failed"):
        await _value(services.database_url, "SELECT 1")
    services.postgres.start()
    assert await _value(services.database_url, "SELECT answer FROM kept") == 42


@pytest.mark.timeout(240)
async def test_a_killed_broker_comes_back_with_what_it_confirmed(tmp_path: Path) -> None:
    kind: dict[str, Any] = {"given": False, "postgres": False, "plugins": (), "directory": tmp_path / "farm"}
    with support.services(**kind) as first:
        url = first.amqp_url
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.declare_queue("kept", durable=True, arguments={"x-queue-type": "quorum"})
    # Its second life: RabbitMQ itself may forget what was declared less than two seconds before it was killed.
    with support.services(**kind) as second:
        assert second.amqp_url == url
        assert second.rabbitmq
        async with await aio_pika.connect(url) as connection:
            channel = await connection.channel()
            await channel.default_exchange.publish(aio_pika.Message(b"kept"), "kept")
            second.rabbitmq.kill()
        second.rabbitmq.start()
        async with await aio_pika.connect(url) as connection:
            queue = await (await connection.channel()).get_queue("kept")
            async with queue.iterator(timeout=60) as deliveries:
                assert (await anext(deliveries)).body == b"kept"


async def test_a_kept_directory_gives_the_same_data_under_the_same_urls(tmp_path: Path) -> None:
    here = tmp_path / "farm"
    with support.services(given=False, rabbitmq=False, directory=here) as first:
        url = first.database_url
        await _value(url, "CREATE TABLE kept AS SELECT 42 AS answer")
        with pytest.raises(LocalServiceError, match="in use by another farmhand"):
            support.services(given=False, rabbitmq=False, directory=here).start()
    with support.services(given=False, rabbitmq=False, directory=here) as second:
        assert second.database_url == url
        assert await _value(url, "SELECT answer FROM kept") == 42
    assert (here / "services.json").stat().st_mode & 0o777 == 0o600


async def test_the_broker_of_the_tests_asks_for_a_password_and_offers_management(rabbitmq: Services) -> None:
    if rabbitmq.management_url is None:
        pytest.fail("FARMHAND_AMQP_URL is set: this test needs a broker of ours")
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.get(f"{rabbitmq.management_url}/api/overview")).status_code == 200
        bare = rabbitmq.management_url.rpartition("@")[2]
        assert (await client.get(f"http://{bare}/api/overview")).status_code == 401


def test_rabbitmqctl_reaches_the_private_node(rabbitmq: Services) -> None:
    assert rabbitmq.rabbitmq
    rabbitmq.rabbitmq.ctl("add_user", "w-one", "secret")
    assert "w-one" in rabbitmq.rabbitmq.ctl("list_users")
    with pytest.raises(LocalServiceError, match=r"rabbitmqctl add_user: .*exist"):
        rabbitmq.rabbitmq.ctl("add_user", "w-one", "secret")


def test_all_private_servers_listen_on_loopback_only(own_services: OwnServices) -> None:
    services = own_services()
    if not isinstance(services.rabbitmq, PrivateRabbit) or not isinstance(services.postgres, PrivatePostgres):
        return  # containers: their engine listens for them
    ours = {child.pid for child in psutil.Process().children(recursive=True)}
    listening = [c for c in psutil.net_connections("inet") if c.pid in ours and c.status == psutil.CONN_LISTEN]
    assert len(listening) >= 5
    assert {connection.laddr.ip for connection in listening if connection.laddr} <= {"127.0.0.1", "::1"}


_STARTS_AND_WAITS = """
import os, sys, threading
from tests.support import services as support
running = support.services(given=False, containers_only=False, plugins=())
starter = threading.Thread(target=running.start)  # a thread that ends long before the servers do
starter.start()
starter.join()
print(running.postgres.pid, running.rabbitmq.pid, flush=True)
sys.stdin.read()
"""


def test_servers_die_with_the_process_that_started_them() -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_WAITS],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout
    assert owner.stdin
    pidfds = [os.pidfd_open(int(word)) for word in owner.stdout.readline().split()]
    assert len(pidfds) == 2
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    waiting = select.poll()
    for pidfd in pidfds:
        waiting.register(pidfd, select.POLLIN)
    for pidfd in pidfds:
        assert waiting.poll(30_000), "a server outlived the process that started it"
        waiting.unregister(pidfd)
        os.close(pidfd)
    owner.stdin.close()
    owner.stdout.close()
