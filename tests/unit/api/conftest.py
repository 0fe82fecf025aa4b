"""The API without a database: what is answered before anything is read."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from coordinator.api import create_app
from coordinator.api.farm import Farm
from coordinator.operations.requests import Changed, SubmitJob, Submitted
from coordinator.telemetry import Telemetry


class Inbox:
    """Says yes to everything, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    async def ask(self, request: Any) -> Any:
        self.asked.append(request)
        return Submitted(1, created=True, tasks=1) if isinstance(request, SubmitJob) else Changed(1)


@pytest.fixture
def inbox() -> Inbox:
    """The writer's place."""
    return Inbox()


@pytest.fixture
def make_app(inbox: Inbox, tmp_path: Path) -> Callable[..., FastAPI]:
    """Makes the application."""

    def make(**options: Any) -> FastAPI:
        nothing: Any = object()
        return create_app(
            views=nothing, ask=inbox.ask, health=list, telemetry=Telemetry("1"), blobs=tmp_path, version="1",
            coordinator="c1", **options,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def open_app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    """An application without a token, made once: it takes longer than most tests."""
    nothing: Any = object()
    blobs = tmp_path_factory.mktemp("blobs")
    return create_app(
        views=nothing, ask=nothing, health=list, telemetry=Telemetry("1"), blobs=blobs, version="1", coordinator="c1"
    )


@pytest.fixture
async def http(open_app: FastAPI, inbox: Inbox) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to an application without a token."""
    farm: Farm = open_app.state.farm
    open_app.state.farm = replace(farm, inbox=inbox.ask, large_bodies=asyncio.Semaphore(1))
    async with client(open_app) as made:
        yield made


def client(app: FastAPI, base: str = "http://farm") -> httpx.AsyncClient:
    """HTTP to *app*."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url=base)
