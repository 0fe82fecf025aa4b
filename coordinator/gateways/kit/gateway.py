"""A gateway as the farm sees it, and the application around its routes: limits, faults, its own OpenAPI document."""

import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from coordinator.api.guard import is_cross_site, is_private_host
from coordinator.api.problems import REFUSED, ProblemError
from coordinator.gateways.kit.fault import Fault
from coordinator.gateways.kit.gate import Gate
from coordinator.operations.access import Credential
from coordinator.operations.requests import RefusedError, UnavailableError
from schemas.base import Message

_log = logging.getLogger(__name__)

#: Calls of one gateway that are answered at once; more are told to come again.
MOST_AT_ONCE: Final = 1000
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True)
class Duty:
    """What a gateway does by itself, every so many seconds."""

    every_s: float
    run: Callable[[], Awaitable[None]]


class Carrier(Protocol):
    """Carries to the workers of one protocol what the writer has to say to them, over their own road."""

    def send(self, worker: str, epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Hand over *commands* for *worker*; as with our own agents, what must arrive is told again."""

    async def run(self) -> None:
        """For ever."""


@dataclass(frozen=True)
class Gateway:
    """One protocol.

    `paths` are where its paths begin, and `shape` what they look like where they have no beginning in common: no two
    gateways share one, so that all can share a port. `tell` makes the body of
    a fault, and `mint` a credential of that name; `carrier` makes what carries tasks to workers that are pushed theirs.
    One that is `free` asks nobody for a credential: it is on loopback unless an operator names another address for it.
    """

    name: str
    title: str
    paths: Sequence[str]
    router: Callable[[Gate], APIRouter]
    tell: Callable[[Fault], Response]
    mint: Callable[[str], Credential] | None = None
    duties: Callable[[Gate], Sequence[Duty]] = lambda _gate: ()
    carrier: Callable[[Gate], Carrier] | None = None
    free: bool = False
    shape: re.Pattern[str] | None = None

    @property
    def document(self) -> str:
        """Where its OpenAPI document is."""
        return f"/gateways/{self.name}/openapi.json"

    def owns(self, path: str) -> bool:
        """Whether *path* is one of its own."""
        if path == self.document or any(path == one or path.startswith(f"{one}/") for one in self.paths):
            return True
        return self.shape is not None and self.shape.fullmatch(path) is not None


def application(gateway: Gateway, gate: Gate, version: str) -> ASGIApp:
    """The gateway's own application."""
    app = FastAPI(
        title=f"Farmhand's gateway for {gateway.title}",
        version=version,
        docs_url=None,
        redoc_url=None,
        openapi_url=gateway.document,
        redirect_slashes=False,
    )
    # Not included but taken over: a router in a router is searched twice at each call. After the document, since a
    # gateway may answer whatever else there is.
    app.router.routes.extend(gateway.router(gate).routes)
    _install(app, gateway.tell)
    _document(app)
    return _Limits(app, gateway)


def _install(app: FastAPI, tell: Callable[[Fault], Response]) -> None:
    async def ours(_: Request, error: Any) -> Response:
        return tell(error)

    async def invalid(_: Request, error: Any) -> Response:
        details = tuple((".".join(map(str, one["loc"][1:])), one["msg"]) for one in error.errors())
        return tell(Fault(400, f"{details[0][0]}: {details[0][1]}", details))

    async def problem(request: Request, error: Any) -> Response:
        details = ((error.field, error.detail),) if error.field else ()
        return tell(Fault(error.status, error.detail, details, path=request.url.path))

    async def refused(_: Request, error: Any) -> Response:
        status = next(status for refusal, status, _ in REFUSED if isinstance(error, refusal))
        return tell(Fault(HTTPStatus.BAD_REQUEST if status == HTTPStatus.UNPROCESSABLE_ENTITY else status, str(error)))

    async def unavailable(request: Request, error: Any) -> Response:
        return tell(Fault(503, str(error), headers={"Retry-After": "2"}, path=request.url.path))

    async def http(request: Request, error: Any) -> Response:
        said = f"{request.method} {request.url.path}: {HTTPStatus(error.status_code).phrase.lower()}"
        return tell(Fault(error.status_code, said, headers=error.headers or {}))

    async def unexpected(request: Request, error: Exception) -> Response:
        _log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
        return tell(Fault(500, "something unexpected went wrong; the coordinator's log says what"))

    for kind, handler in (
        (Fault, ours),
        (RequestValidationError, invalid),
        (ProblemError, problem),
        (RefusedError, refused),
        (UnavailableError, unavailable),
        (HTTPException, http),
        (Exception, unexpected),
    ):
        app.add_exception_handler(kind, handler)


def _document(app: FastAPI) -> None:
    """Bodies are read by us, so FastAPI's own answer 422 never comes."""
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        for path in document["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for unused in ("HTTPValidationError", "ValidationError"):
            document.get("components", {}).get("schemas", {}).pop(unused, None)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


class _Limits:
    """Answers before the routes what they need not see."""

    def __init__(self, app: FastAPI, gateway: Gateway) -> None:
        self._app = app
        self._gateway = gateway
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = self._fault(Request(scope))
        if fault is not None:
            await self._gateway.tell(fault)(scope, receive, send)
            return
        self._running += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._running -= 1

    def _fault(self, request: Request) -> Fault | None:
        if request.method not in _SAFE and is_cross_site(request):
            return Fault(403, "changes that come from a page of another site are refused")
        if self._gateway.free and not is_private_host(request.headers.get("host", "")):
            return Fault(421, "only IP addresses and private names are accepted as host")
        if self._running >= MOST_AT_ONCE:
            said = f"{self._running} calls are being answered: try again"
            return Fault(503, said, headers={"Retry-After": "1"}, path=request.url.path)
        return None
