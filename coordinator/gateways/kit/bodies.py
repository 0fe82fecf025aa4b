"""Bodies of gateways' calls: bounded in size and time, lenient in form, and nothing that cannot be stored."""

from typing import Annotated, Any, Final, TypeVar

from fastapi import Request
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from coordinator.api.bodies import received
from coordinator.gateways.kit.fault import Fault
from schemas.base import UndecodableError, refuse_unstorable

LIMIT_BYTES: Final = 256 * 1024
_MOST_DETAILS: Final = 20
_NOTHING_LOST: Final = "surrogatepass"


class Lenient(BaseModel):
    """What another farm's client sends: fields that we do not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, populate_by_name=True)


M = TypeVar("M", bound=BaseModel)


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be shown")
    return text


#: A name that is shown to people.
Shown = Annotated[str, AfterValidator(_printable)]


def mended(value: Any) -> Any:
    """*value* without what cannot be stored: NUL, and halves of characters."""
    if not isinstance(value, str):
        return value
    return value.replace("\x00", "\ufffd").encode("utf-16", _NOTHING_LOST).decode("utf-16", "replace")


#: What a program has written: mended, not refused.
Words = Annotated[str, BeforeValidator(mended)]


def shown(text: str, field: str, most: int) -> str:
    """A part of a path that names something. Raises Fault 400."""
    if not text.isprintable() or len(text) > most:
        said = f"must be printable, and at most {most} characters"
        raise Fault(400, f"{field} {said}", ((field, said),))
    return text


async def read(request: Request, model: type[M], *, empty: bytes | None = None, limit: int = LIMIT_BYTES) -> M:
    """The *model* in the body, which is JSON whatever its header says. *empty* stands for no body, where that is right.

    Raises Fault: 400, with each field that is wrong; 413.
    """
    body = await received(request, limit)
    if not body.strip() and empty is not None:
        body = empty
    try:
        value = model.model_validate_json(body)
        refuse_unstorable(body)
    except ValidationError as error:
        raise faulty(error) from None
    except UndecodableError as error:
        raise Fault(400, str(error), ((error.field, error.detail),)) from None
    return value


def faulty(error: ValidationError) -> Fault:
    """What pydantic complains of."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[:_MOST_DETAILS]
    details = tuple((".".join(map(str, one["loc"])), one["msg"].replace("\x00", "\ufffd")) for one in found)
    field, said = details[0]
    return Fault(400, f"{field}: {said}" if field else said, details)


def described(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema of *model* in one piece, for an OpenAPI document."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})

    def whole(value: Any) -> Any:
        if isinstance(value, dict):
            name = str(value.get("$ref", "")).rpartition("/")[2]
            return whole(parts[name]) if name else {key: whole(one) for key, one in value.items()}
        return [whole(one) for one in value] if isinstance(value, list) else value

    made: dict[str, Any] = whole(schema)
    return made
