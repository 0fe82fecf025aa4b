"""A farm with all gateways on its own port, and what opens them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio

from coordinator.client import AsyncFarmhandClient
from coordinator.local.services import Services
from tests.support import services
from tests.support.farm import Farm, running


class Gates:
    """A farm, seen by clients of other farms."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.url = f"http://127.0.0.1:{farm.coordinator.settings.http_port}"

    async def credential(self, gateway: str, name: str) -> dict[str, str]:
        """A new credential, as it is shown."""
        async with AsyncFarmhandClient(self.url, actor="tester") as client:
            return (await client.create_credential(gateway, name)).shown

    async def worker(self, name: str) -> dict[str, object]:
        """A worker's row with its liveness."""
        (row,) = await self.farm.rows(
            "SELECT w.*, l.*, m.stats FROM workers w JOIN worker_liveness l ON l.worker_id = w.id"
            " LEFT JOIN worker_stats m ON m.worker_id = w.id WHERE w.id = $1",
            name,
        )
        return dict(row)

    async def silent(self, name: str, seconds: float) -> None:
        """Nothing was heard of this worker for so long, by coordinators that listened."""
        await self.farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '10 days'")
        await self.farm.rows(
            "UPDATE worker_liveness SET last_seen_at = farm_now() - make_interval(secs => $2) WHERE worker_id = $1",
            name,
            seconds,
        )


@asynccontextmanager
async def opened(postgres: Services, rabbitmq: Services, template: str) -> AsyncIterator[Gates]:
    """A coordinator with all gateways, on a database and a virtual host of its own."""
    async with (
        services.database(postgres.database_url, template) as database_url,
        services.virtual_host(rabbitmq.amqp_url, rabbitmq.management_url) as amqp_url,
        running(database_url, amqp_url, gateways="all") as farm,
    ):
        yield Gates(farm)


@pytest.fixture
async def gates(database_url: str, amqp_url: str) -> AsyncIterator[Gates]:
    """A farm for one test."""
    async with running(database_url, amqp_url, gateways="all") as farm:
        yield Gates(farm)


@pytest.fixture
async def http(gates: Gates) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to it, without any credential."""
    async with httpx.AsyncClient(base_url=gates.url, timeout=60) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gates(postgres: Services, rabbitmq: Services, migrated_template: str) -> AsyncIterator[Gates]:
    """A farm for all tests of a module, each with workers of its own."""
    async with opened(postgres, rabbitmq, migrated_template) as gates:
        yield gates


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_http(shared_gates: Gates) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to it, without any credential."""
    async with httpx.AsyncClient(base_url=shared_gates.url, timeout=60) as client:
        yield client
