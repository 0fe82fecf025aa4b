"""What the routes work with: who answers questions, who carries out requests, and the farm's constants."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Protocol, TypeVar

from fastapi import Depends, Header, Request

from coordinator.api.blobs import Blobs
from coordinator.api.door import Door, Shelf
from coordinator.api.reads import Figures, Reads
from coordinator.domain.access import Caller
from coordinator.operations import requests
from coordinator.operations.access import Credential
from coordinator.operations.requests import UnavailableError
from coordinator.telemetry import Telemetry
from schemas.views import Diagnosis

A = TypeVar("A")

#: The writer answers within this many seconds, or the caller is told that it is not known yet.
ANSWER_S = 60.0
_LONGEST_ACTOR = 200


class Diagnose(Protocol):
    """The doctor."""

    async def __call__(self) -> Diagnosis:
        """Look at everything."""


class Ask(Protocol):
    """The inbox: a request is answered when it is committed."""

    async def __call__(self, request: requests.Request[A], /) -> A:
        """Its answer, when it is committed."""


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
    door: Door = field(default_factory=Door)
    shelf: Shelf | None = None
    figures: Figures | None = None
    diagnose: Diagnose | None = None
    #: Gateway -> what makes a credential for it, given its name.
    mints: Mapping[str, Callable[[str], Credential]] = field(default_factory=dict)
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


def caller_of(request: Request) -> Caller:
    """Who was let in."""
    caller: Caller = request.state.caller
    return caller


def actor_of(
    request: Request,
    x_farmhand_actor: Annotated[str | None, Header(description="who asks, for the story: user@host")] = None,
) -> str:
    """Who asks: the token's name, with what the header says of itself after it; where the farm is open, what the header
    says (UTF-8), else where the call came from."""
    said = (x_farmhand_actor or "").encode("latin-1", "replace").decode("utf-8", "replace")
    said = "".join(c for c in said if c.isprintable()).strip()
    name = caller_of(request).name
    if name is not None:
        return f"{name} ({said[: _LONGEST_ACTOR - len(name) - 3]})" if said else name
    if x_farmhand_actor and x_farmhand_actor.strip():
        return said[:_LONGEST_ACTOR] or "unnamed"
    return f"http@{request.client.host}" if request.client else "http"


FarmHere = Annotated[Farm, Depends(farm_of)]
Actor = Annotated[str, Depends(actor_of)]
