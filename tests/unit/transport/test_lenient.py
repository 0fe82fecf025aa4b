"""No property of a message makes its decoding fail."""

import datetime as dt
import json
import struct
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from pamqp import encode

from coordinator.transport import lenient


@given(st.binary(max_size=255), st.binary(max_size=8))
def test_any_bytes_are_a_short_string_and_leave_the_next_property_alone(text: bytes, rest: bytes) -> None:
    consumed, value = lenient.short_string(bytes([len(text)]) + text + rest)
    assert consumed == 1 + len(text)
    assert "\x00" not in value
    value.encode()  # raises for a lone surrogate


@given(st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60))
def test_a_good_short_string_is_kept(text: str) -> None:
    assert lenient.short_string(encode.short_string(text))[1] == text


@given(st.integers(0, 2**64 - 1))
def test_any_64_bits_are_a_timestamp_or_none(value: int) -> None:
    consumed, instant = lenient.timestamp(struct.pack(">Q", value))
    assert consumed == 8
    assert instant is None or instant.tzinfo is dt.UTC


def test_a_good_timestamp_is_kept() -> None:
    now = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
    assert lenient.timestamp(encode.timestamp(now)) == (8, now)


@given(st.binary(max_size=200), st.binary(max_size=8))
def test_any_bytes_are_a_table_of_their_length(inside: bytes, rest: bytes) -> None:
    consumed, headers = lenient.table(struct.pack(">I", len(inside)) + inside + rest)
    assert consumed == 4 + len(inside)
    json.dumps(lenient.plain(headers), allow_nan=False)


def test_tables_within_tables_without_end_are_an_empty_table() -> None:
    inside = b""
    for _ in range(12_000):
        inside = b"\x01kF" + struct.pack(">I", len(inside)) + inside
    consumed, headers = lenient.table(struct.pack(">I", len(inside)) + inside)
    assert consumed == 4 + len(inside)
    json.dumps(lenient.plain(headers))


def test_headers_become_what_json_and_the_database_can_hold() -> None:
    headers = lenient.plain(
        {
            "text": "a\x00b",
            "bytes": b"\xff",
            "when": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            "exact": Decimal("1.5"),
            "none": None,
            "nan": float("nan"),
            "list": [1, True, {"deep": 2.5}],
        }
    )
    assert headers == {
        "text": "a\ufffdb",
        "bytes": "\ufffd",
        "when": "2026-01-01 00:00:00+00:00",
        "exact": "1.5",
        "none": None,
        "nan": "nan",
        "list": [1, True, {"deep": 2.5}],
    }
