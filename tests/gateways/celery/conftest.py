"""A farm that hears Celery's workers on its own virtual host, and workers that are only simulated."""

from collections.abc import AsyncIterator

import pytest

from coordinator.proof.celery_crowd import Crowd
from tests.support.farm import Farm, running

#: Those from which the bridge hears.
QUEUES = ("farmhand.celery.workers", "farmhand.celery.tasks")


@pytest.fixture
async def farm(database_url: str, amqp_url: str) -> AsyncIterator[Farm]:
    """A farm for one test."""
    async with running(database_url, amqp_url, gateways="celery") as farm:
        yield farm


@pytest.fixture
async def crowd(farm: Farm) -> AsyncIterator[Crowd]:
    """Workers that say what a test has them say."""
    async with Crowd(farm.amqp_url) as crowd:
        await crowd.heard(*QUEUES)
        yield crowd
