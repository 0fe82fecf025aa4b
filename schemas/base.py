"""The base of all messages, and the one way from bytes to a message.

What is refused here can be stored nowhere: a NUL character (Postgres text cannot hold it), a lone
surrogate (not UTF-8), an integer beyond 64 bits, a number that is not finite. Fields that we do not
know are ignored on messages, because the other side may be one version ahead; they are refused on what
people write (`Strict`), because there they are typing errors.
"""

import json
import math
from typing import Annotated, Final, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    ValidationError,
)

from schemas.ids import WORKER_ID_PATTERN

MAX_MESSAGE_BYTES: Final = 64 * 1024
MAX_INT: Final = 2**63 - 1


class Message(BaseModel):
    """A value that travels. Immutable; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class Strict(BaseModel):
    """A value that a person wrote. Immutable; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


WorkerName = Annotated[str, StringConstraints(pattern=WORKER_ID_PATTERN)]
#: A name that people give: a queue, a kind, a tag, a label, a zone.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}$")]
Short = Annotated[str, StringConstraints(max_length=64)]
Line = Annotated[str, StringConstraints(max_length=200)]
Text = Annotated[str, StringConstraints(max_length=4000)]
Count = Annotated[int, Field(ge=0, le=MAX_INT)]
Positive = Annotated[int, Field(ge=1, le=MAX_INT)]
#: The number of an attempt: counted from 1, for each task.
AttemptNumber = Annotated[int, Field(ge=1, lt=2**31)]
Parameters = dict[Annotated[str, StringConstraints(max_length=64)], JsonValue]

M = TypeVar("M", bound=BaseModel)


class UndecodableError(ValueError):
    """Bytes that are not the message they should be.

    `reason` is a word for counting (`oversized`, `invalid`, `unstorable`), `field` the path of the first
    field at fault ("" for the whole), and the message says what is wrong with it. Both may quote what came in, so they
    are made fit to be stored and shown: cut, and without NUL. `code` is pydantic's word for it, if it was pydantic.
    """

    def __init__(self, reason: str, field: str, detail: str, code: str = "") -> None:
        self.reason = reason
        self.code = code
        self.field = _quotable(field, 200)
        self.detail = _quotable(detail, 1000)
        super().__init__(f"{self.field}: {self.detail}" if field else self.detail)


def _quotable(text: str, most: int) -> str:
    whole = text if len(text) <= most else text[: most - 1] + "…"
    return whole.replace("\x00", "\ufffd")


def decode(body: bytes, model: type[M], *, limit: int = MAX_MESSAGE_BYTES) -> M:
    """The *model* in *body* (UTF-8 JSON of at most *limit* bytes), or `UndecodableError`."""
    if len(body) > limit:
        raise UndecodableError("oversized", "", f"{len(body)} bytes, more than the {limit} allowed")
    try:
        value = model.model_validate_json(body)
    except ValidationError as error:
        raise undecodable(error) from None
    refuse_unstorable(body)
    return value


def undecodable(error: ValidationError) -> UndecodableError:
    """What pydantic complains of, in one line: the first field at fault and what is wrong with it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return UndecodableError("invalid", ".".join(str(part) for part in first["loc"]), first["msg"], first["type"])


#: With every digit made a nought, long integers and large exponents are found without a regular expression
#: (measured: 0.1 microseconds an event instead of 5).
_DIGITS: Final = bytes.maketrans(b"123456789", b"000000000")
#: What stands before an envelope's list has types that hold nothing unstorable; its UUID would look like an exponent.
_LIST: Final = b'"events"'
_SUSPICIOUS: Final = (b"\\u0000", b"NaN", b"Infinity")
_SUSPICIOUS_DIGITS: Final = (b"0" * 19, b"e000", b"E000", b"e+000", b"E+000")


def refuse_unstorable(body: bytes) -> None:
    """Raise `UndecodableError` when the JSON in *body* holds a value that the database cannot."""
    begins = max(0, body.find(_LIST))
    # A name may be written with escapes: then what was found is another one, and the list came before it.
    if not is_suspicious(body if b"\\" in body[:begins] else body[begins:]):
        return
    _refuse(json.loads(body), "")


def is_suspicious(body: bytes) -> bool:
    """Whether *body* may hold such a value, so that a closer look is worth its time."""
    digits = body.translate(_DIGITS)
    return any(sign in body for sign in _SUSPICIOUS) or any(sign in digits for sign in _SUSPICIOUS_DIGITS)


def _refuse(value: JsonValue, path: str) -> None:
    match value:
        case list():
            for index, item in enumerate(value):
                _refuse(item, f"{path}.{index}".lstrip("."))
        case dict():
            for key, item in value.items():
                _refuse(key, path)
                _refuse(item, f"{path}.{key}".lstrip("."))
        case str() | int() | float():
            problem = _problem(value)
            if problem:
                raise UndecodableError("unstorable", path, problem)


def _problem(value: str | float) -> str | None:
    match value:
        case str() if "\x00" in value:
            return "holds a NUL character"
        case int() if not -MAX_INT - 1 <= value <= MAX_INT:
            return "is an integer beyond 64 bits"
        case float() if not math.isfinite(value):
            return "is not a finite number"
    return None
