"""Stencila Hub's paths for workers (Stencila Hub API, WorkersApi): with or without the final slash, no redirect."""

import base64
import binascii
import contextlib
from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from coordinator.domain.access import Token
from coordinator.domain.outcome import Refused
from coordinator.gateways.kit import Fault, Gate, Gateway, described, read, shown
from coordinator.gateways.stencila import translate
from coordinator.gateways.stencila.wire import Event, Update
from coordinator.operations.access import Credential
from coordinator.operations.foreign import Arrive, Depart, Hear
from coordinator.operations.requests import NotFoundError

Route = TypeVar("Route", bound=Callable[..., Any])

_EMPTY: Final = b"{}"
_LONGEST: Final = 512
_FAULT: Final = {
    "type": "object",
    "required": ["message", "errors"],
    "properties": {
        "message": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_WORKER: Final = {
    "type": "object",
    "required": ["hostname", "queues"],
    "properties": {"hostname": {"type": "string"}, "queues": {"type": "array", "items": {"type": "integer"}}},
}


def tell(fault: Fault) -> Response:
    """A fault as the Hub says it."""
    errors = [{"field": field, "message": message} for field, message in fault.details]
    return JSONResponse({"message": fault.detail, "errors": errors}, fault.status, headers=dict(fault.headers))


def mint(_name: str) -> Credential:
    """A token, for an overseer or any client: it speaks for every worker that it names."""
    return Credential.token()


def _answers(ok: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    fault = {"application/json": {"schema": _FAULT}}
    words = {400: "malformed", 403: "no credential, or a wrong one", 409: "the name is taken", 413: "too large",
             503: "not now"}  # fmt: skip
    return {200: ok, **{status: {"description": word, "content": fault} for status, word in words.items()}}


def _body(model: type[Event | Update]) -> dict[str, Any]:
    return {"requestBody": {"required": False, "content": {"application/json": {"schema": described(model)}}}}


def router(gate: Gate) -> APIRouter:
    """The four operations."""
    made = APIRouter(prefix="/api/workers", tags=["workers"])

    def operation(
        method: str, path: str, name: str, model: type[Event | Update], ok: dict[str, Any]
    ) -> Callable[[Route], Route]:
        """Both forms of *path*; the one with the slash, which their clients use, is in the document."""

        def register(function: Route) -> Route:
            for form in (f"{path}/", path):
                made.add_api_route(
                    form,
                    function,
                    methods=[method],
                    operation_id=name,
                    responses=_answers(ok),
                    response_class=Response,
                    openapi_extra={**_body(model), "security": [{"Token": []}, {"Basic": []}]},
                    include_in_schema=form.endswith("/"),
                )
            return function

        return register

    nothing = {"description": "OK"}

    @operation("POST", "/online", "workers_online", Event, nothing)
    async def online(request: Request) -> Response:
        """Record that a worker has come online."""
        hostname, event = await _event(gate, request)
        life = translate.life_of(event) or translate.unnamed_life(hostname)
        portrait = translate.portrait_of(hostname, event, arrives=True)
        sign = translate.sign_of(event, arrives=True)
        await gate.ask(Arrive(translate.name_of(hostname), portrait, life, sign))
        return Response()

    @operation("POST", "/heartbeat", "workers_heartbeat", Event, nothing)
    async def heartbeat(request: Request) -> Response:
        """Create a worker heartbeat."""
        hostname, event = await _event(gate, request)
        portrait, sign = translate.portrait_of(hostname, event), translate.sign_of(event)
        await gate.ask(Hear(translate.name_of(hostname), portrait, sign, translate.life_of(event)))
        return Response()

    @operation("POST", "/offline", "workers_offline", Event, nothing)
    async def offline(request: Request) -> Response:
        """Record that a worker has gone offline; one that is not known has nothing to leave."""
        hostname, event = await _event(gate, request)
        goodbye = Depart(
            translate.name_of(hostname), translate.life_of(event), translate.sign_of(event), "said goodbye"
        )
        with contextlib.suppress(NotFoundError):
            await gate.ask(goodbye)
        return Response()

    json = {"description": "The worker", "content": {"application/json": {"schema": _WORKER}}}

    @operation("PATCH", "/{hostname}", "workers_partial_update", Update, json)
    async def partial_update(
        request: Request, hostname: Annotated[str, Path(json_schema_extra={"maxLength": _LONGEST})]
    ) -> Response:
        """Update information on the worker: the queues and the virtual host that it listens to."""
        await _caller(gate, request)
        hostname = shown(hostname, "hostname", _LONGEST)
        update = await read(request, Update, empty=_EMPTY)
        portrait = translate.portrait_of(hostname, update=update)
        await gate.ask(Hear(translate.name_of(hostname), portrait))
        return JSONResponse({"hostname": hostname, "queues": []})

    return made


async def _event(gate: Gate, request: Request) -> tuple[str, Event]:
    """The event, and the worker that it is about: without a word, the worker that the credential is named after."""
    token = await _caller(gate, request)
    event = await read(request, Event, empty=_EMPTY)
    return (event.hostname or token.name), event


async def _caller(gate: Gate, request: Request) -> Token:
    """Who calls: `Token <token>`, or Basic with the token for a name. Raises Fault 403, as the Hub does."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            given = base64.b64decode(given.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            given = ""
    elif scheme.lower() != "token":
        raise Fault(403, "Authentication credentials were not provided.")
    known = await gate.bearer(translate.PROTOCOL, given.strip())
    if isinstance(known, Refused):
        raise Fault(403, "Invalid token.")
    return known


GATEWAY: Final = Gateway(
    name=translate.PROTOCOL,
    title="Stencila Hub",
    paths=("/api/workers",),
    router=router,
    tell=tell,
    mint=mint,
)
