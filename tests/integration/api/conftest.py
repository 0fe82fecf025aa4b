"""The API on a real database: rows are put there by SQL, requests are answered by a script."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI

from coordinator.api import create_app
from coordinator.client import AsyncFarmhandClient
from coordinator.operations import requests
from coordinator.storage.pool import open_pool
from coordinator.storage.statistics import Statistics
from coordinator.storage.views import Views
from coordinator.telemetry import Telemetry
from tests.integration.api.rows import Rows


@dataclass
class Inbox:
    """Answers requests as it was told, and remembers them."""

    answer: Any = field(default_factory=lambda: requests.Changed(1))
    asked: list[Any] = field(default_factory=list)

    async def ask(self, request: Any) -> Any:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def inbox() -> Inbox:
    """The writer's place."""
    return Inbox()


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """The coordinator's pool, on empty tables."""
    pool = await open_pool(database_url)
    yield pool
    await pool.close()


@pytest.fixture
async def rows(pool: asyncpg.Pool) -> AsyncIterator[Rows]:
    """Puts rows into the database."""
    async with pool.acquire() as connection:
        yield Rows(connection)


@pytest.fixture
def views(pool: asyncpg.Pool) -> Views:
    """The reads."""
    return Views(pool)


@pytest.fixture
def ailments() -> list[str]:
    """What is wrong with the coordinator."""
    return []


@pytest.fixture
def app(pool: asyncpg.Pool, views: Views, inbox: Inbox, ailments: list[str], tmp_path: Path) -> FastAPI:
    """The application, without a token."""
    return create_app(
        views=views,
        ask=inbox.ask,
        health=lambda: ailments,
        telemetry=Telemetry("1.2.3"),
        blobs=tmp_path / "blobs",
        version="1.2.3",
        coordinator="c1",
        figures=Statistics(pool),
    )


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP as it is."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://farm/api/v1/") as client:
        yield client


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[AsyncFarmhandClient]:
    """The Python client."""
    async with AsyncFarmhandClient("http://farm", actor="ana@desk", transport=httpx.ASGITransport(app)) as client:
        yield client
