"""A farm with one coordinator for each test."""

from collections.abc import AsyncIterator

import pytest

from tests.support.farm import Farm, running


@pytest.fixture
async def farm(database_url: str, amqp_url: str) -> AsyncIterator[Farm]:
    """A coordinator on a fresh database and virtual host."""
    async with running(database_url, amqp_url) as farm:
        yield farm
