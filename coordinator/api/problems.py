"""Every error as a problem document (RFC 9457): one line that says what is wrong and what to do, never a traceback."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from coordinator.operations.requests import (
    ConflictError,
    InvalidError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UnplaceableError,
)
from schemas.base import UndecodableError

_log = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_LONGEST: Final = 1000

#: The first that fits decides.
REFUSED: Final[tuple[tuple[type[RefusedError], int, str], ...]] = (
    (NotFoundError, 404, "not-found"),
    (UnplaceableError, 422, "unplaceable"),
    (InvalidError, 422, "invalid"),
    (ConflictError, 409, "conflict"),
    (RefusedError, 409, "refused"),
)


class ProblemError(Exception):
    """Something wrong with a call, to be answered with this status and line."""

    def __init__(self, status: int, detail: str, *, field: str | None = None, kind: str | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.field = field
        self.kind = kind


def problem(
    status: int,
    detail: str,
    *,
    kind: str | None = None,
    field: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """The answer that tells of a problem; *kind* is a word for programs."""
    title = HTTPStatus(status).phrase
    content: dict[str, Any] = {
        "type": f"urn:farmhand:problem:{kind or title.lower().replace(' ', '-')}",
        "title": title,
        "status": status,
        "detail": " ".join(detail.split())[:_LONGEST],
    }
    if field:
        content["field"] = field
    return JSONResponse(content, status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Answer every exception of *app*'s routes with a problem."""
    handlers: dict[type[Exception], Callable[[Request, Any], Awaitable[JSONResponse]]] = {
        ProblemError: _ours,
        RefusedError: _refused,
        UnavailableError: _unavailable,
        UndecodableError: _undecodable,
        RequestValidationError: _invalid,
        HTTPException: _http,
        Exception: _unexpected,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _ours(_request: Request, error: ProblemError) -> JSONResponse:
    return problem(error.status, error.detail, field=error.field, kind=error.kind)


async def _refused(_request: Request, error: RefusedError) -> JSONResponse:
    status, kind = next((status, kind) for refusal, status, kind in REFUSED if isinstance(error, refusal))
    return problem(status, str(error), kind=kind)


async def _unavailable(_request: Request, error: UnavailableError) -> JSONResponse:
    return problem(503, str(error), kind="unavailable", headers={"Retry-After": "2"})


async def _undecodable(_request: Request, error: UndecodableError) -> JSONResponse:
    if error.reason == "oversized":
        return problem(413, error.detail, kind="oversized")
    return problem(422, str(error), kind=error.reason, field=error.field or None)


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return problem(422, f"{field}: {first['msg']}" if field else first["msg"], kind="invalid", field=field or None)


async def _http(request: Request, error: HTTPException) -> JSONResponse:
    detail = error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"there is nothing at {request.url.path}"
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "other methods")
        detail = f"{request.method} is not possible at {request.url.path}; {allowed} is"
    return problem(error.status_code, detail, headers=error.headers)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _log.error("unexpected error in %s %s", request.method, request.url.path, exc_info=error)
    return problem(500, "something unexpected went wrong; the coordinator's log says what", kind="unexpected")
