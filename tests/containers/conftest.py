"""A Docker engine for these tests. None answers: they are skipped, with one loud line."""

import os

import pytest

from tests.containers.engine import Engine, answering

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
