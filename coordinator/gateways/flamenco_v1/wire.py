"""What Flamenco 1's server and workers send (Flamenco 1 API: Tasks, Workers): forms, or JSON with the same names.

A form has texts only, and Python's `None` as a word where there is nothing. The document says of a worker's status that
it is an integer, its clients send words: both are read. With its last word a worker sends all that its program has
written, in whatever encoding, and it sends that word once: so the end of it is kept, mended, and nothing of it refused.
"""

import asyncio
import json
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WithJsonSchema

from coordinator.api.bodies import received
from coordinator.gateways.kit import Fault, Lenient, Shown, faulty, mended
from coordinator.gateways.kit.bodies import LIMIT_BYTES
from schemas.base import UndecodableError, Word, refuse_unstorable

#: Numbers of tasks and workers are below this, so that they are exact in JSON.
MOST: Final = 2**53
#: Their tasks have numbers below this; those above are tasks that Farmhand had from elsewhere.
OURS: Final = 10**12
#: Where a worker listens when it does not say (the port of the document's example).
PORT: Final = 5000
#: All that a program has written, as a form.
UPDATE_BYTES: Final = 16 * 1024 * 1024
#: A longer body is read in a thread.
_SMALL_BYTES: Final = 64 * 1024
_NOTE_LENGTH: Final = 200_000
_MOST_FIELDS: Final = 100
_NOTHING: Final = frozenset({"", "None", "null"})

M = TypeVar("M", bound=BaseModel)


def _absent(value: object) -> object:
    return None if isinstance(value, str) and value in _NOTHING else value


def _note(value: object) -> object:
    """What a program has written: the end of it, without what cannot be stored."""
    value = _absent(value)
    return mended(value[-_NOTE_LENGTH:]) if isinstance(value, str) else value


def _object(value: object) -> object:
    """The settings of a task: an object, or its JSON as a text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value) if value not in _NOTHING else {}
    except (ValueError, RecursionError):
        raise ValueError("should be a JSON object") from None


_SETTINGS: Final = WithJsonSchema({"anyOf": [{"type": "object"}, {"type": "string"}]})
Said = BeforeValidator(_absent)
Seconds = Annotated[Annotated[float, Field(ge=0, le=10**9)] | None, Said]
Note = Annotated[str | None, BeforeValidator(_note)]


class NewTask(Lenient):
    """A task of a Flamenco 1 server: `type` is what runs it, `settings` are its parameters, as JSON."""

    task_id: Annotated[int, Field(ge=0, lt=OURS)]
    type: Word
    settings: Annotated[dict[str, Any], BeforeValidator(_object), _SETTINGS] = Field(default_factory=dict)
    priority: Annotated[Annotated[int, Field(ge=-(2**31), lt=2**31)] | None, Said] = None
    parser: Annotated[Word | None, Said] = None


Status = Annotated[int, Field(ge=-(2**31), lt=2**31)] | Annotated[str, Field(min_length=1, max_length=64)]


class TaskUpdate(Lenient):
    """What a worker says of its task."""

    status: Annotated[Status | None, Said] = None
    log: Note = None
    activity: Note = None
    time_cost: Seconds = None


class NewWorker(Lenient):
    """A worker that has started: it listens on `port` of the address that it calls from."""

    hostname: Annotated[Shown, Field(min_length=1, max_length=255)]
    system: Annotated[Annotated[Shown, Field(max_length=128)] | None, Said] = None
    port: Annotated[int, Field(ge=1, le=65535)] = PORT


class WorkerUpdate(Lenient):
    """What a worker says of itself."""

    status: Status
    activity: Note = None
    log: Note = None
    time_cost: Seconds = None


async def read(request: Request, model: type[M]) -> M:
    """The *model* in a form, or in JSON: what is said to be JSON, or begins with a brace. Raises Fault 400, 413."""
    body = await received(request, LIMIT_BYTES)
    text = body if _is_json(_kind(request), body) else json.dumps(_form(body, "strict")).encode()
    try:
        refuse_unstorable(text)
        return model.model_validate_json(text)
    except ValidationError as error:
        raise faulty(error) from None
    except UndecodableError as error:
        raise Fault(400, str(error), ((error.field, error.detail),)) from None


async def read_update(request: Request, model: type[M], few: asyncio.Semaphore) -> M:
    """The *model* in what a worker says of its task, or of itself; *few* long ones at once. Raises Fault 400, 413."""
    kind, length = _kind(request), request.headers.get("content-length", "")
    if length.isdecimal() and int(length) <= _SMALL_BYTES:
        return _update(kind, await received(request, _SMALL_BYTES), model)
    async with few:
        return await asyncio.to_thread(_update, kind, await received(request, UPDATE_BYTES), model)


def _update(kind: str, body: bytes, model: type[M]) -> M:
    try:
        return model.model_validate(json.loads(body) if _is_json(kind, body) else _form(body, "replace"))
    except ValidationError as error:
        raise faulty(error) from None
    except (ValueError, RecursionError):
        raise Fault(400, "the body is not JSON") from None


def _kind(request: Request) -> str:
    kind = request.headers.get("content-type", "")
    if "multipart" in kind:
        raise Fault(400, "forms with files are not read: send application/x-www-form-urlencoded, or JSON")
    return kind


def _is_json(kind: str, body: bytes) -> bool:
    begins = body.lstrip()[:1]
    return bool(begins) and ("json" in kind or begins == b"{")


def _form(body: bytes, errors: str) -> dict[str, str]:
    """A form in UTF-8; *errors* as `bytes.decode` takes it."""
    try:
        text = body.decode(errors=errors)
        return dict(parse_qsl(text, keep_blank_values=True, errors=errors, max_num_fields=_MOST_FIELDS))
    except ValueError:
        raise Fault(400, "the body is neither a form in UTF-8 nor JSON") from None
