"""Bodies of answers: faults as Flamenco says them, and what its API document says of each."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.types import Receive, Scope, Send

from coordinator.gateways.kit import Fault, described

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer"}
_ERROR: Final = {
    "type": "object",
    "required": ["code", "message"],
    "properties": {"code": {"type": "integer", "format": "int32"}, "message": _TEXT},
}
_FORBIDDEN: Final = {"type": "object", "required": ["message"], "properties": {"message": _TEXT}}

WORDS: Final[Mapping[int, str]] = {
    400: "malformed, or against the rules",
    403: "no credential, or a wrong one",
    404: "there is none",
    408: "it did not come",
    409: "not in the state that it takes",
    411: "its length is not said",
    412: "it cannot",
    413: "too large",
    415: "no JPEG or PNG",
    422: "it cannot be so",
    429: "too many pictures at once",
    503: "not now",
}


def tell(fault: Fault) -> Response:
    """A fault as Flamenco says it; what a worker is to send again, by silence."""
    if fault.status in _LATER and _SAID_ONCE.fullmatch(fault.path):
        return Silence()
    body: dict[str, Any] = {"message": fault.detail}
    if fault.status != 403:  # noqa: PLR2004
        body = {"code": fault.status, **body}
    return JSONResponse(body, fault.status, headers=dict(fault.headers))


#: Not now: what was said is to be said again.
_LATER: Final = frozenset({408, 503})
#: Updates of tasks, and the sign-on.
_SAID_ONCE: Final = re.compile(r"/api/v3/worker/(sign-on|task/[^/]+)")


def forbidden(why: str) -> Fault:
    """The answer to who shows no credential, or a wrong one."""
    return Fault(403, f"security requirements failed: {why}")


def schema(title: str, /, **properties: Any) -> dict[str, Any]:
    """An object of *properties*; one whose name ends in `_` may be missing."""
    return {
        "type": "object",
        "title": title,
        "required": [one for one in properties if not one.endswith("_")],
        "properties": {one.rstrip("_"): what for one, what in properties.items()},
    }


@dataclass(frozen=True)
class Operation:
    """One operation of their API: what it takes, what it answers (status -> words, schema of its body), its faults."""

    name: str
    ok: Mapping[int, tuple[str, Any]]
    faults: Sequence[int]
    takes: type[BaseModel] | None = None
    secured: str | None = "worker_auth"
    extra: Mapping[str, Any] = field(default_factory=dict)

    def add(self, router: APIRouter, method: str, path: str, function: Callable[..., Any]) -> None:
        """Let *function* carry it out."""
        router.add_api_route(
            path,
            function,
            methods=[method],
            operation_id=self.name,
            status_code=min(self.ok),
            response_class=Response,
            responses=self._responses(),
            openapi_extra={
                **({"security": [{self.secured: []}]} if self.secured else {}),
                **(_takes(self.takes) if self.takes else {}),
                **self.extra,
            },
        )

    def _responses(self) -> dict[int | str, dict[str, Any]]:
        said: dict[int | str, dict[str, Any]] = {}
        for status, (words, body) in self.ok.items():
            said[status] = {"description": words}
            if body is not None:
                said[status]["content"] = {"application/json": {"schema": body}}
        for status in self.faults:
            body = _FORBIDDEN if status == 403 else _ERROR  # noqa: PLR2004
            said[status] = {"description": WORDS[status], "content": {"application/json": {"schema": body}}}
        return said


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": described(model)}}
    return {"requestBody": {"required": True, "content": content}}


class Silence(Response):
    """No answer: the connection breaks off in the middle of one.

    Their worker takes any complete answer to an update for the last word, even 503, and forgets the update; one that
    breaks off it sends again. So it does with its sign-on, which after any other answer becomes a new registration.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Promise a body, and break off."""
        await send(
            {
                "type": "http.response.start",
                "status": 503,
                "headers": [(b"content-length", b"1024"), (b"connection", b"close")],
            }
        )
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
