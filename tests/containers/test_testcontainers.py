"""The main line on servers in containers, through testcontainers: runs wherever an engine answers."""

import os

import asyncpg
import httpx
import pytest

from coordinator.local.services import Services
from coordinator.storage.migrate import migrate
from schemas.task import Verdict
from tests.support import services as support
from tests.support.farm import running
from tests.support.wire import WireWorker

# Where the images are not there yet, making them takes minutes, once.
pytestmark = [pytest.mark.containers, pytest.mark.timeout(900)]


async def test_a_task_is_accepted_on_servers_in_containers(contained: Services) -> None:
    async with support.database(contained.database_url) as database_url:
        await migrate(database_url)
        async with (
            support.virtual_host(contained.amqp_url, contained.management_url) as amqp_url,
            running(database_url, amqp_url) as farm,
            WireWorker(amqp_url, "node-1") as worker,
        ):
            await worker.online()
            await farm.submit({"name": "hello"})
            attempt = await worker.assigned()
            await worker.start(attempt)
            await worker.finish(attempt, result={"answer": 42})

            assert await worker.verdict(attempt) is Verdict.ACCEPTED
            assert await farm.state(attempt.task) == "completed"


async def test_the_servers_are_of_the_releases_that_their_images_name(contained: Services) -> None:
    connection = await asyncpg.connect(contained.database_url)
    try:
        postgres = await connection.fetchval("SHOW server_version")
    finally:
        await connection.close()
    async with httpx.AsyncClient(base_url=contained.management_url or "", timeout=60) as management:
        rabbitmq = (await management.get("/api/overview")).json()["rabbitmq_version"]

    assert postgres.startswith(_release(os.environ.get("FARMHAND_POSTGRES_IMAGE", "postgres:17")))
    assert rabbitmq.startswith(_release(os.environ.get("FARMHAND_RABBITMQ_IMAGE", "rabbitmq:4.0")))


def _release(image: str) -> str:
    return image.rpartition(":")[2].partition("-")[0] + "."
