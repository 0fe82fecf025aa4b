"""The envelope of every answer, faults with ClearML's codes, and how an operation is served: at `/service.action`, with
or without a version before it, by any method.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ValidationError

from coordinator.api.bodies import received
from coordinator.api.problems import ProblemError
from coordinator.gateways.clearml import wire
from coordinator.gateways.clearml.door import Door
from coordinator.gateways.clearml.translate import Caller
from coordinator.gateways.kit import Fault, described, faulty
from coordinator.operations.requests import RefusedError, UnavailableError

SERVICES: Final = ("auth", "workers", "queues", "tasks", "events", "users", "projects", "models", "organization",
                   "server", "login", "reports", "pipelines", "datasets", "serving")  # fmt: skip
#: What belongs to this gateway: /workers.register, /v2.5/workers.register, with or without a slash at the end.
SHAPE: Final = re.compile(rf"/(?:(v[0-9][0-9.]*)/)?((?:{'|'.join(SERVICES)})\.[A-Za-z0-9_]+)/?", re.ASCII)
_METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_VERSION: Final = re.compile(r"v2(?:\.(\d{1,3}))?", re.ASCII)
#: The newest version that is spoken here, as (2, minor).
NEWEST: Final = 29

#: status -> what is said of it in the API document.
WORDS: Final[Mapping[int, str]] = {
    400: "malformed, or against the rules: the subcode says which",
    401: "no credential, or a wrong one",
    413: "too large",
    415: "a content encoding",
    503: "not now",
}
#: Subcodes of status 400.
INVALID, WRONG_VALUE, UNKNOWN_TASK, TASK_STATUS, UNKNOWN_QUEUE = 12, 16, 101, 110, 701
UNKNOWN_WORKER, REGISTRATION, NOT_REGISTERED, NO_STATS, VERSION = 1001, 1002, 1004, 1005, 2

#: The schema of nothing at all.
NOTHING: Final[Mapping[str, Any]] = {"type": "object", "maxProperties": 0}

#: What an operation answers with: its data, or the same written as JSON already.
Data = Mapping[str, Any] | bytes
Handler = Callable[[Caller, Any], Awaitable[Data]]


def refused(subcode: int, said: str, **data: Any) -> Fault:
    """A fault of status 400; *data* is what it is about."""
    return Fault(400, said, extra={"subcode": subcode, "data": data})


def listing(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has these."""
    return {"type": "object", "required": [*properties], "properties": properties}


@dataclass(frozen=True)
class Endpoint:
    """Which endpoint was called, in which version (its minor number)."""

    name: str = ""
    minor: int = NEWEST
    trx: str = ""


def enveloped(endpoint: Endpoint, data: Mapping[str, Any], fault: Fault | None = None) -> dict[str, Any]:
    """An answer's body."""
    identity = uuid4().hex
    version = f"2.{endpoint.minor}"
    return {
        "meta": {
            "id": identity,
            "trx": endpoint.trx or identity,
            "endpoint": {"name": endpoint.name, "requested_version": version, "actual_version": version},
            "result_code": fault.status if fault else 200,
            "result_subcode": fault.extra.get("subcode", 0) if fault else 0,
            "result_msg": fault.detail if fault else "OK",
            "error_stack": None,
            "error_data": dict(fault.extra.get("data", {})) if fault else {},
        },
        "data": data,
    }


def _answer(endpoint: Endpoint, data: Data) -> Response:
    if not isinstance(data, bytes):
        return JSONResponse(enveloped(endpoint, data))
    meta = json.dumps(enveloped(endpoint, {})["meta"]).encode()
    return Response(b'{"meta":%b,"data":%b}' % (meta, data), media_type="application/json")


def told(endpoint: Endpoint, fault: Fault) -> Response:
    """A fault as ClearML says it. A content encoding is refused in plain text, as theirs does."""
    if fault.status == 415:  # noqa: PLR2004
        return PlainTextResponse(fault.detail, 415)
    return JSONResponse(enveloped(endpoint, {}, fault), fault.status, headers=dict(fault.headers))


def tell(fault: Fault) -> Response:
    """A fault of a call that reached no endpoint."""
    return told(Endpoint(), fault)


@dataclass(frozen=True)
class Operation:
    """`workers.register` and its like: what it takes, its answer's schema, since which minor version, who carries it
    out. Of `events.add_batch` the body is a batch."""

    name: str
    takes: type[BaseModel]
    gives: Mapping[str, Any]
    handler: Handler
    since: int = 0
    batch: bool = False
    summary: str = ""


class Desk:
    """Answers all calls."""

    def __init__(self, door: Door, operations: Sequence[Operation]) -> None:
        self._door = door
        self._operations = {one.name: one for one in operations}

    async def answer(self, request: Request, name: str, version: str = "") -> Response:
        """The answer, in its envelope."""
        trx = request.headers.get("x-clearml-trx", "")
        endpoint = Endpoint(name, trx=trx[:64] if trx.isascii() and trx.isprintable() else "")
        try:
            endpoint = replace(endpoint, minor=_minor(version))
            operation = self._operation(endpoint)
            data = await self._carried_out(operation, request)
        except ProblemError as error:
            return told(endpoint, Fault(error.status, error.detail))
        except RefusedError as error:
            return told(endpoint, refused(INVALID, str(error)))
        except UnavailableError as error:
            return told(endpoint, Fault(503, str(error), headers={"Retry-After": "2"}))
        except Fault as fault:
            return told(endpoint, fault)
        answer = _answer(endpoint, data)
        if operation.name == "auth.login" and isinstance(data, Mapping):
            answer.set_cookie("clearml_token_basic", data["token"], httponly=True, samesite="strict")
        return answer

    def _operation(self, endpoint: Endpoint) -> Operation:
        operation = self._operations.get(endpoint.name)
        if operation is None or endpoint.minor < operation.since:
            raise Fault(404, f"there is no endpoint {endpoint.name} in version 2.{endpoint.minor}")
        return operation

    async def _carried_out(self, operation: Operation, request: Request) -> Data:
        if request.headers.get("content-encoding"):
            raise Fault(415, "content encodings are not understood here")
        caller = await self._door.caller(request)
        body = await received(request, wire.EVENTS_BYTES if operation.batch else 256 * 1024)
        if operation.batch:
            return await operation.handler(caller, wire.lines(body))
        try:
            said = operation.takes.model_validate_json(wire.fields(body, request.url.query))
        except ValidationError as error:
            fault = faulty(error)
            raise refused(INVALID, fault.detail, fields=dict(fault.details)) from None
        return await operation.handler(caller, said)

    def add(self, router: APIRouter) -> None:
        """Add all paths. The document shows each operation once: POST, without a version."""
        for operation in self._operations.values():
            self._add_one(router, operation)

        async def other(request: Request) -> Response:
            match = SHAPE.fullmatch(request.url.path)
            if match is None:
                raise Fault(404, "there is no such path")
            return await self.answer(request, match[2], match[1] or "")

        router.add_api_route("/{path:path}", other, methods=_METHODS, include_in_schema=False, response_model=None)

    def _add_one(self, router: APIRouter, operation: Operation) -> None:
        async def documented(request: Request) -> Response:
            return await self.answer(request, operation.name)

        media = "application/json-lines" if operation.batch else "application/json"
        content = {media: {"schema": {"type": "string"} if operation.batch else described(operation.takes)}}
        router.add_api_route(
            f"/{operation.name}",
            documented,
            methods=["POST"],
            operation_id=operation.name,
            summary=operation.summary,
            tags=[operation.name.partition(".")[0]],
            response_class=Response,
            responses=_responses(operation),
            openapi_extra={
                "requestBody": {"required": False, "content": content},
                "security": [{"Basic": []}, {"Bearer": []}],
            },
        )


def _minor(version: str) -> int:
    if not version:
        return NEWEST
    match = _VERSION.fullmatch(version)
    if match is None:
        raise refused(VERSION, f"{version[:20]!r} is no version of the API: v2.1 to v2.{NEWEST} are")
    return min(int(match[1] or 0), NEWEST)


def _responses(operation: Operation) -> dict[int | str, dict[str, Any]]:
    said: dict[int | str, dict[str, Any]] = {
        200: {"description": "done", "content": _content(operation.gives)},
    }
    for status, words in WORDS.items():
        said[status] = {"description": words, "content": _content({"type": "object"})}
    said[415] = {"description": WORDS[415], "content": {"text/plain": {"schema": {"type": "string"}}}}
    return said


def _content(data: Mapping[str, Any]) -> dict[str, Any]:
    text, number = {"type": "string"}, {"type": "integer"}
    place = {
        "type": "object",
        "required": ["name", "requested_version", "actual_version"],
        "properties": {"name": text, "requested_version": text, "actual_version": text},
    }
    meta = {
        "type": "object",
        "required": ["id", "trx", "endpoint", "result_code", "result_subcode", "result_msg", "error_data"],
        "properties": {
            "id": text,
            "trx": text,
            "endpoint": place,
            "result_code": number,
            "result_subcode": number,
            "result_msg": text,
            "error_data": {"type": "object"},
        },
    }
    schema = {"type": "object", "required": ["meta", "data"], "properties": {"meta": meta, "data": dict(data)}}
    return {"application/json": {"schema": schema}}
