"""The other side of the broker, for every test of the road."""

from collections.abc import AsyncIterator

import pytest

from coordinator.proof.proxy import Proxy
from tests.integration.transport.road import OtherSide


@pytest.fixture
async def other(amqp_url: str) -> AsyncIterator[OtherSide]:
    """Another client of the test's virtual host."""
    async with OtherSide.connected(amqp_url) as other:
        yield other


@pytest.fixture
async def cable(amqp_url: str) -> AsyncIterator[Proxy]:
    """A way to the broker that can be cut."""
    async with Proxy(amqp_url) as cable:
        yield cable
