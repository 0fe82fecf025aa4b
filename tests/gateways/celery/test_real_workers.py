"""Real Celery workers of three pools on a real broker, through what happens to them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coordinator.gateways.celery.translate import name_of
from tests.gateways.celery.workers import celery_worker, connected
from tests.support.farm import Farm, running


@pytest.fixture
async def farm(database_url: str, amqp_url: str) -> AsyncIterator[Farm]:
    """A farm that hears Celery's workers on its own virtual host."""
    async with running(database_url, amqp_url, gateways="celery") as farm:
        yield farm


async def test_a_stock_worker_is_shown_online_and_offline(farm: Farm, tmp_path: Path) -> None:
    async with celery_worker(farm.amqp_url, tmp_path, "solo", "-P", "solo") as worker:
        name = name_of(worker.hostname)
        await connected(farm, name)
        (row,) = await farm.rows("SELECT * FROM workers")
        assert (row["protocol"], row["foreign_id"], row["software"]) == ("celery", "solo@test", "py-celery 5.6.3")
        assert (row["heartbeat_s"], row["lost_after_s"]) == (2.0, 20.0)
        worker.stop()
        await connected(farm, name, "offline")
        assert await worker.ended() == 0
