"""A Docker engine for these tests. None answers: they are skipped, with one loud line."""

import os
from collections.abc import Iterator

import pytest

from coordinator.local.services import Services
from tests.containers.engine import Engine, answering
from tests.containers.images import provide
from tests.support import services as support

NONE_ANSWERS = (
    "NO CONTAINER ENGINE ANSWERS: nothing ran in containers; `make test-containers` starts an engine of its own"
)


@pytest.fixture(scope="session")
def docker() -> Engine:
    """The engine that answers."""
    found = answering()
    if found is None and os.environ.get("FARMHAND_TEST_SERVICES") == "containers":
        pytest.fail("FARMHAND_TEST_SERVICES=containers, but no container engine answers")
    if found is None:
        pytest.skip(NONE_ANSWERS)
    os.environ.update(found.environment)
    return found


@pytest.fixture(scope="session")
def contained(docker: Engine) -> Iterator[Services]:
    """RabbitMQ and Postgres in containers."""
    rabbitmq = os.environ.get("FARMHAND_RABBITMQ_IMAGE") or provide("rabbitmq-4.0", docker)
    postgres = os.environ.get("FARMHAND_POSTGRES_IMAGE") or provide("postgres-17", docker)
    with support.services(
        given=False, containers_only=True, rabbitmq_image=rabbitmq, postgres_image=postgres
    ) as services:
        yield services
