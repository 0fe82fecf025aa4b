"""A farm with one coordinator for each test."""

from collections.abc import AsyncIterator

import pytest

from coordinator.domain.retry import RULES, Backoff, RetryClass, Rule
from tests.support.farm import Farm, running


@pytest.fixture
async def farm(database_url: str, amqp_url: str) -> AsyncIterator[Farm]:
    """A coordinator on a fresh database and virtual host."""
    async with running(database_url, amqp_url) as farm:
        yield farm


@pytest.fixture
def long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails is not tried again before the test says so, however long the test takes."""
    monkeypatch.setitem(RULES, RetryClass.TASK, Rule(burns_retry=True, backoff=Backoff(7200.0, 1.0, 7200.0)))
