"""What the routes work with: who answers questions, who carries out requests, and the farm's constants."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import Depends, Header, Request

from coordinator.api.blobs import Blobs
from coordinator.operations import requests
from coordinator.operations.requests import UnavailableError
from coordinator.telemetry import Telemetry
from schemas.views import (
    CoordinatorView,
    Entry,
    JobDetail,
    JobView,
    Numbers,
    OutputView,
    Page,
    ParkedDetail,
    ParkedView,
    QueueView,
    TaskDetail,
    TaskView,
    WorkerDetail,
    WorkerView,
)

A = TypeVar("A")

#: The writer answers within this many seconds, or the caller is told that it is not known yet.
ANSWER_S = 60.0


class LogSpan(Protocol):
    """A piece of an attempt's log that can be read."""

    @property
    def task(self) -> int: ...
    @property
    def attempt(self) -> int: ...
    @property
    def day(self) -> date: ...
    @property
    def after(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def live(self) -> bool: ...
    @property
    def truncated(self) -> bool: ...


class Reads(Protocol):
    """The questions that the API asks of the rows; each raises NotFoundError or UnavailableError."""

    async def jobs(
        self, *, state: str | None = None, submitter: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[JobView]: ...
    async def job(self, job: int) -> JobDetail: ...
    async def tasks(
        self, job: int, *, state: str | None = None, after: int = 0, limit: int = 100
    ) -> Page[TaskView]: ...
    async def task(self, task: int) -> TaskDetail: ...
    async def attempt_worker(self, task: int, attempt: int) -> str: ...
    async def output(self, task: int, attempt: int, name: str) -> OutputView: ...
    async def log_span(self, task: int, attempt: int | None, after: int, *, settled: bool) -> Any: ...
    def log(self, span: Any) -> AsyncIterator[str]: ...
    async def story_of_task(self, task: int, *, after: int = 0, limit: int = 100) -> Page[Entry]: ...
    async def story_of_worker(self, worker: str, *, after: int = 0, limit: int = 100) -> Page[Entry]: ...
    async def story_of_job(self, job: int, *, after: int = 0, limit: int = 100) -> Page[Entry]: ...
    async def workers(
        self,
        *,
        connection: str | None = None,
        duty: str | None = None,
        queue: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> Page[WorkerView]: ...
    async def worker(self, worker: str) -> WorkerDetail: ...
    async def queues(self) -> list[QueueView]: ...
    async def parked(
        self, *, state: str | None = "parked", reason: str | None = None, before: int | None = None, limit: int = 100
    ) -> Page[ParkedView]: ...
    async def parked_one(self, parked: int) -> ParkedDetail: ...
    async def ping(self) -> None: ...
    async def coordinators(self) -> list[CoordinatorView]: ...
    async def numbers(self) -> Numbers: ...


class Ask(Protocol):
    """The inbox: a request is answered when it is committed."""

    async def __call__(self, request: requests.Request[A], /) -> A: ...


@dataclass(frozen=True)
class Farm:
    """Everything a route needs. `health` names what is wrong with this coordinator (nothing: it is ready)."""

    views: Reads
    inbox: Ask
    health: Callable[[], Sequence[str]]
    telemetry: Telemetry
    blobs: Blobs
    version: str
    coordinator: str
    #: Few large bodies are taken in at once, so that memory is bounded.
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))
    uploads: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))

    async def ask(self, request: requests.Request[A]) -> A:
        """The writer's answer to *request*."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self.inbox(request)
        except TimeoutError:
            raise UnavailableError(
                f"not answered within {ANSWER_S:.0f} s; it may still be carried out: look before you ask again"
            ) from None


def farm_of(request: Request) -> Farm:
    """The farm that the application serves."""
    farm: Farm = request.app.state.farm
    return farm


def actor_of(
    request: Request,
    x_farmhand_actor: Annotated[str | None, Header(description="who asks, for the story: user@host")] = None,
) -> str:
    """Who asks, in their own words (UTF-8 in the header), else where the call came from."""
    if x_farmhand_actor and x_farmhand_actor.strip():
        said = x_farmhand_actor.encode("latin-1", "replace").decode("utf-8", "replace")
        return "".join(c for c in said if c.isprintable()).strip()[:200] or "unnamed"
    return f"http@{request.client.host}" if request.client else "http"


FarmHere = Annotated[Farm, Depends(farm_of)]
Actor = Annotated[str, Depends(actor_of)]
