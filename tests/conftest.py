"""Fixtures for all tests: services that start when first asked for, and the time each area takes.

`database_url` and `amqp_url` are fresh for each test; `services` are the shared servers behind them, which
no test may stop. A test that kills servers starts its own with `own_services`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import settings

from coordinator.local.errors import LocalServiceError
from coordinator.local.services import Services
from tests.support import chance
from tests.support import services as support
from tests.support.budget import Budget
from tests.support.databases import Databases

settings.load_profile(chance.BRIEF)


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget(), "farmhand-budget")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Tests mostly wait, so three processes use two cores well; one where they would share a virtual host."""
    alone = os.environ.get("FARMHAND_AMQP_URL") and not os.environ.get("FARMHAND_TEST_MANAGEMENT_URL")
    return 1 if alone else 3


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fetch missing programs before the first test's clock starts."""
    if session.config.option.collectonly:
        return
    if any({"postgres", "rabbitmq", "own_services"} & set(getattr(item, "fixturenames", ())) for item in session.items):
        try:
            support.services().fetch()
        except LocalServiceError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Services]:
    """The shared Postgres."""
    with support.services(rabbitmq=False) as running:
        yield running


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Services]:
    """The shared RabbitMQ."""
    with support.services(postgres=False) as running:
        yield running


@pytest.fixture(scope="session")
def migrated_template(postgres: Services) -> Iterator[str]:
    """The name of a migrated database that nobody uses, to be copied: migrating takes a second, copying does not."""
    from coordinator.storage.migrate import migrate  # noqa: PLC0415 - only tests with a database pay for it

    async def make() -> str:
        url = await support.create_database(postgres.database_url)
        await migrate(url)
        return url

    url = asyncio.run(make())
    yield support.name_of(url)
    asyncio.run(support.drop_database(postgres.database_url, url))


@pytest.fixture(scope="session")
def databases(postgres: Services, migrated_template: str) -> Iterator[Databases]:
    """Migrated databases, lent to one test after another."""
    kept = Databases(postgres.database_url, migrated_template)
    yield kept
    asyncio.run(kept.drop())


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A database that is as if just migrated."""
    async with databases.lent() as url:
        yield url


@pytest.fixture
async def empty_database_url(postgres: Services) -> AsyncIterator[str]:
    """A fresh database without a table."""
    async with support.database(postgres.database_url) as url:
        yield url


@pytest.fixture
async def amqp_url(rabbitmq: Services) -> AsyncIterator[str]:
    """A fresh virtual host."""
    async with support.virtual_host(rabbitmq.amqp_url, rabbitmq.management_url) as url:
        yield url


@pytest.fixture
def own_services() -> Iterator[Callable[..., Services]]:
    """Starts servers that belong to the test alone: `own_services(rabbitmq=False)`; may be killed and restarted."""
    with ExitStack() as stack:

        def start(**wanted: Any) -> Services:
            return stack.enter_context(support.services(given=False, **wanted))

        yield start
