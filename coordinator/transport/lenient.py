"""Decoders for message properties that never fail, so that no message can close our connection.

The client library closes the whole connection when a property cannot be decoded: a timestamp in nanoseconds, a
routing key that is not UTF-8, a header table of an unknown type. The broker checks none of that, and delivers the same
message again on the next connection, for ever. Here such a value is replaced (None, U+FFFD, an empty table); the
message arrives, and is refused and kept like any other that cannot be understood. NUL is replaced too, because
the database's text cannot hold it.
"""

import datetime as dt
import math
from typing import Final

import pamqp.decode
from pamqp.common import FieldTable, FieldValue
from pydantic import JsonValue

_DEEPEST: Final = 8


def install() -> None:
    """Register these decoders with the library, for this process. Doing it twice is harmless."""
    pamqp.decode.METHODS["shortstr"] = short_string
    pamqp.decode.METHODS["timestamp"] = timestamp
    pamqp.decode.TABLE_MAPPING[b"T"] = timestamp
    pamqp.decode.METHODS["table"] = table


def short_string(value: bytes) -> tuple[int, str]:
    """A string of at most 255 bytes: bytes consumed, text."""
    end = value[0] + 1
    text = value[1:end].decode(errors="replace")
    return end, _text(text)


def timestamp(value: bytes) -> tuple[int, dt.datetime | None]:
    """An instant, None when there is no such year: bytes consumed, instant."""
    try:
        return pamqp.decode.timestamp(value)
    except (ValueError, ArithmeticError, OSError):
        return 8, None


def table(value: bytes) -> tuple[int, FieldTable]:
    """A table of headers, empty when any of it cannot be decoded: bytes consumed, table."""
    try:
        return pamqp.decode.field_table(value)
    except (ValueError, ArithmeticError, LookupError, RecursionError):
        return 4 + int.from_bytes(value[:4], "big"), {}


def plain(headers: FieldTable) -> dict[str, JsonValue]:
    """*headers* as JSON can hold them and the database can store them."""
    return {_text(key): _plain(value, 0) for key, value in headers.items()}


def _plain(value: FieldValue, depth: int) -> JsonValue:
    match value:
        case None | bool() | int():
            return value
        case bytes() | bytearray():
            return _text(value.decode(errors="replace"))
        case dict() if depth < _DEEPEST:
            return {_text(key): _plain(item, depth + 1) for key, item in value.items()}
        case list() if depth < _DEEPEST:
            return [_plain(item, depth + 1) for item in value]
        case float() if math.isfinite(value):
            return value
    return _text(str(value))


def _text(value: str) -> str:
    return value.replace("\x00", "\ufffd") if "\x00" in value else value
