"""A farm with all gateways on its own port, and what opens them."""

from collections.abc import AsyncIterator

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient
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
            "SELECT w.*, l.* FROM workers w JOIN worker_liveness l ON l.worker_id = w.id WHERE w.id = $1", name
        )
        return dict(row)


@pytest.fixture
async def gates(database_url: str, amqp_url: str) -> AsyncIterator[Gates]:
    """A coordinator with all gateways."""
    async with running(database_url, amqp_url, gateways="all") as farm:
        yield Gates(farm)


@pytest.fixture
async def http(gates: Gates) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to it, without any credential."""
    async with httpx.AsyncClient(base_url=gates.url) as client:
        yield client
