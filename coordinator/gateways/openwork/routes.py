"""OpenWork's path for activity heartbeats (OpenWork, "Record worker heartbeat"), and its order of checks."""

import re
import secrets
import time
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from coordinator.domain.outcome import Refused
from coordinator.gateways.kit import Duty, Fault, Gate, Gateway, read
from coordinator.gateways.openwork import translate
from coordinator.gateways.openwork.stopping import EVERY_S, Stopper
from coordinator.gateways.openwork.wire import INSTANT, MOST_SESSIONS, Heartbeat, is_typeid
from coordinator.operations.access import Credential, Enrolment
from coordinator.operations.foreign import Hear
from coordinator.operations.requests import NotFoundError

_TOKEN_HEADER: Final = "x-den-worker-heartbeat-token"  # noqa: S105 - a header's name
_DIGITS: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_CODES: Final = {400: "invalid_request", 401: "unauthorized", 403: "forbidden", 404: "not_found",
                 405: "method_not_allowed", 408: "timeout", 413: "payload_too_large", 500: "internal_error",
                 503: "unavailable"}  # fmt: skip
#: What their server takes for JSON.
_JSON: Final = re.compile(r"application/(?:[a-z.-]+\+)?json")
_INSTANT: Final = {"type": "string", "format": "date-time", "pattern": INSTANT}
_BODY: Final = {
    "type": "object",
    "required": ["isActiveRecently"],
    "properties": {
        "isActiveRecently": {"type": "boolean"},
        "sentAt": _INSTANT,
        "lastActivityAt": {"anyOf": [_INSTANT, {"type": "null"}]},
        "openSessionCount": {"type": "integer", "minimum": 0, "maximum": MOST_SESSIONS},
        "busySessionCount": {"description": "Those of them that do something; anything but a count is ignored."},
    },
}
_ANSWER: Final = {
    "type": "object",
    "required": ["ok", "workerId", "isActiveRecently", "openSessionCount", "lastHeartbeatAt", "lastActiveAt"],
    "properties": {
        "ok": {"type": "boolean", "const": True},
        "workerId": {"type": "string"},
        "isActiveRecently": {"type": "boolean"},
        "openSessionCount": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "lastHeartbeatAt": _INSTANT,
        "lastActiveAt": {"anyOf": [_INSTANT, {"type": "null"}]},
    },
}
_FAULT: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "string"},
        "message": {"type": "string"},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["message"],
                "properties": {"message": {"type": "string"}, "path": {"type": "array"}},
            },
        },
    },
}


def tell(fault: Fault) -> Response:
    """A fault as OpenWork says it: a word, and for what is malformed each thing that is wrong."""
    body: dict[str, Any] = {"error": _CODES.get(fault.status, "error"), **fault.extra}
    if fault.status == 400:  # noqa: PLR2004
        details = fault.details or (("", fault.detail),)
        body["details"] = [
            {"message": said, **({"path": field.split(".")} if field else {})} for field, said in details
        ]
    elif fault.status not in (401, 404):
        body["message"] = fault.detail
    return JSONResponse(body, fault.status, headers=dict(fault.headers))


def fresh_typeid() -> str:
    """A new worker's TypeID: a UUID of version 7, which grows with time, in base 32."""
    number = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | secrets.randbits(12) << 64
    number |= 0b10 << 62 | secrets.randbits(62)
    return "wrk_" + "".join(_DIGITS[number >> shift & 31] for shift in range(125, -5, -5))


def mint(name: str) -> Credential:
    """A token for one worker: the one whose TypeID the *name* is, else a new one. The worker is known from then on."""
    typeid = name if is_typeid(name) else fresh_typeid()
    enrols = Enrolment(translate.name_of(typeid), translate.portrait_of(typeid), translate.life_of(typeid))
    return Credential.token(subject=typeid, enrols=enrols, workerId=typeid)


def router(gate: Gate) -> APIRouter:
    """The one operation."""
    made = APIRouter(prefix="/v1/workers", tags=["Workers"])
    fault = {"application/json": {"schema": _FAULT}}
    words = {400: "malformed", 401: "no token, or not this worker's", 404: "the token has outlived its worker",
             413: "too large", 503: "not now"}  # fmt: skip
    answers: dict[int | str, dict[str, Any]] = {
        200: {
            "description": "Worker heartbeat accepted successfully.",
            "content": {"application/json": {"schema": _ANSWER}},
        },
        **{status: {"description": word, "content": fault} for status, word in words.items()},
    }
    typeid = {
        "name": "id",
        "in": "path",
        "required": True,
        "description": "TypeID with the prefix wrk_",
        "schema": {"type": "string", "pattern": "^wrk_[0-7][0-9a-hjkmnp-tv-z]{25}$"},
    }

    @made.post(
        "/{id}/activity-heartbeat",  # noqa: FAST003 - solving for a signature costs a tenth of the call
        operation_id="recordWorkerHeartbeat",
        summary="Record worker heartbeat",
        response_class=JSONResponse,
        responses=answers,
        openapi_extra={
            "parameters": [typeid],
            "requestBody": {"required": True, "content": {"application/json": {"schema": _BODY}}},
            "security": [{"bearer": []}, {"heartbeatToken": []}],
        },
    )
    async def record(request: Request) -> Response:
        """Record that the worker lives, and when it was last active."""
        name = str(request.path_params["id"])
        if not is_typeid(name):
            raise Fault(400, "id must be a TypeID", (("id", "must be a worker's TypeID, wrk_ and 26 characters"),))
        if _JSON.fullmatch(request.headers.get("content-type", "").partition(";")[0].strip().lower()) is None:
            raise Fault(400, "send application/json", (("isActiveRecently", "there is no JSON body"),))
        beat = await read(request, Heartbeat)
        known = await gate.bearer(translate.PROTOCOL, _token(request))
        if isinstance(known, Refused) or known.subject != name:
            raise Fault(401, "the token is missing, wrong, or another worker's")
        heard = Hear(
            translate.name_of(name),
            translate.portrait_of(name),
            translate.sign_of(beat),
            translate.life_of(name),
            creates=False,
        )
        try:
            standing = await gate.ask(heard)
        except NotFoundError:
            raise Fault(404, "the worker was removed", extra={"error": "worker_not_found"}) from None
        return JSONResponse(translate.answer_of(name, beat, standing))

    return made


def _token(request: Request) -> str:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return given.strip() if scheme.lower() == "bearer" else request.headers.get(_TOKEN_HEADER, "")


def duties(gate: Gate) -> list[Duty]:
    """To have stopped who is asked to go."""
    return [Duty(EVERY_S, Stopper(gate, str(gate.settings.get("openwork_stop_url", ""))).look)]


GATEWAY: Final = Gateway(
    name=translate.PROTOCOL,
    title="OpenWork",
    paths=("/v1/workers",),
    router=router,
    tell=tell,
    mint=mint,
    duties=duties,
)
