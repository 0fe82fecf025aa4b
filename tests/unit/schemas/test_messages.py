"""Every message survives the wire, and what the wire must not carry is refused with reason and field."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from schemas.base import MAX_MESSAGE_BYTES, Message, UndecodableError, decode
from schemas.catalog import CATALOG, ENVELOPES
from schemas.envelope import (
    EVENT_TYPES,
    FromSubmitter,
    FromWorker,
    ToWorker,
    decode_from_worker,
    decode_to_worker,
)
from schemas.task import TaskFinished
from tests.support.chance import examples
from tests.support.wire import an_envelope
from tests.unit.schemas.instances import SCHEMAS, instances, json_values

MODELS: dict[str, type[Message]] = {entry.name: entry.model for entry in CATALOG} | ENVELOPES
#: Jobs and their tasks have rules that no JSON Schema can say (a graph, either this or that): `test_jobs` draws them.
DRAWN = sorted(MODELS.keys() - {"job.submit", "from-submitter", "task.spawn"})
FINISHED = {"type": "task.finished", "task": 1, "attempt": 1, "outcome": "completed"}


def with_result(raw: bytes) -> bytes:
    """An envelope with one report whose result is *raw*."""
    return an_envelope(events=[FINISHED | {"result": "@@"}]).replace(b'"@@"', raw)


@pytest.mark.parametrize("name", DRAWN)
@given(data=st.data())
@settings(max_examples=examples(0.15), suppress_health_check=[HealthCheck.too_slow])
def test_whatever_its_schema_allows_is_read_and_survives_the_wire(name: str, data: st.DataObject) -> None:
    said = data.draw(instances(name))
    message = decode(json.dumps(said).encode(), MODELS[name])

    body = message.model_dump_json()

    assert decode(body.encode(), MODELS[name]) == message
    Draft202012Validator(SCHEMAS[name]).validate(json.loads(body))


@given(result=json_values)
def test_a_result_comes_out_as_it_went_in(result: Any) -> None:
    message, unknown = decode_from_worker(with_result(json.dumps(result).encode()))
    event = message.events[0]
    assert isinstance(event, TaskFinished)
    assert (event.result, unknown) == (result, 0)


# --- what is refused ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason", "field", "words"),
    [
        (b'"a\\u0000b"', "unstorable", "events.0.result", "NUL"),
        (b'["ok", {"deep": "\\u0000"}]', "unstorable", "events.0.result.1.deep", "NUL"),
        (b'{"a\\u0000": 1}', "unstorable", "events.0.result", "NUL"),
        (b'"\\ud800"', "invalid", "", "hex escape"),
        (b'"\\udc00x"', "invalid", "", "surrogate"),
        (b'"\xed\xa0\x80"', "invalid", "", "unicode"),
        (b"9223372036854775808", "unstorable", "events.0.result", "64 bits"),
        (b"-9223372036854775809", "unstorable", "events.0.result", "64 bits"),
        (b"1" * 4300, "unstorable", "events.0.result", "64 bits"),
        (b"1" * 5000, "invalid", "", "out of range"),
        (b"NaN", "unstorable", "events.0.result", "finite"),
        (b"[-Infinity]", "unstorable", "events.0.result.0", "finite"),
        (b"1e400", "unstorable", "events.0.result", "finite"),
        (b"-1E+0999", "unstorable", "events.0.result", "finite"),
        (b"[" * 60_000, "invalid", "", "recursion limit"),
        (b'{"a":' * 10_000, "invalid", "", "recursion limit"),
        (b"'single'", "invalid", "", "Invalid JSON"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_reason_and_field(
    raw: bytes, reason: str, field: str, words: str
) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(with_result(raw))
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert words in refused.value.detail


@pytest.mark.parametrize(
    "raw", [b"9223372036854775807", b"-9223372036854775808", b"1e308", b'"\\ud83d\\ude00"', b'"\\\\u0000"']
)
def test_what_just_can_be_stored_is_taken(raw: bytes) -> None:
    decode_from_worker(with_result(raw))


@given(depth=st.integers(1, 190))
@settings(max_examples=examples(0.2))
def test_what_is_nested_as_deep_as_it_may_be_can_be_sent_on(depth: int) -> None:
    message, _ = decode_from_worker(with_result(b"[" * depth + b"123456789012345678" + b"]" * depth))
    assert decode(message.model_dump_json().encode(), FromWorker) == message


def test_a_long_path_and_a_long_word_are_cut_where_they_are_told() -> None:
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(with_result(b"[" * 180 + b"1" * 100 + b"]" * 180))
    assert refused.value.reason == "unstorable"
    assert len(refused.value.field) == 200
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(an_envelope(events=[{"type": "x"}, {"type": 7, "y": "z" * 5000}]))
    assert len(refused.value.detail) <= 1000


@pytest.mark.parametrize(
    ("body", "reason", "field"),
    [
        (b"", "invalid", ""),
        (b"\xff\xfe", "invalid", ""),
        (b"[]", "invalid", ""),
        (b"null", "invalid", ""),
        (b"{}", "invalid", "worker"),
        (an_envelope(worker="Node 1"), "invalid", "worker"),
        (an_envelope(worker="a" * 65), "invalid", "worker"),
        (an_envelope(worker="node.1"), "invalid", "worker"),
        (an_envelope(epoch=-1), "invalid", "epoch"),
        (an_envelope(seq=2**63), "invalid", "seq"),
        (an_envelope(instance="me"), "invalid", "instance"),
        (an_envelope(sent_at="2026-01-01T00:00:00"), "invalid", "sent_at"),
        (an_envelope(events={}), "invalid", "events"),
        (an_envelope(events=[1]), "invalid", "events.0"),
        (an_envelope(events=[{"no": "type"}]), "invalid", "events.0"),
        (an_envelope(events=[{"type": ["task.finished"]}]), "invalid", "events.0"),
        (an_envelope(events=[{"type": None}, FINISHED]), "invalid", "events.0"),
        (an_envelope(events=[FINISHED, FINISHED | {"attempt": 0}]), "invalid", "events.1.task.finished.attempt"),
        (an_envelope(events=[FINISHED | {"attempt": 2**31}]), "invalid", "events.0.task.finished.attempt"),
        (an_envelope(events=[FINISHED | {"outcome": "accepted"}]), "invalid", "events.0.task.finished.outcome"),
        (an_envelope(events=[], padding="x" * MAX_MESSAGE_BYTES), "oversized", ""),
    ],
)
def test_what_is_no_envelope_is_refused_with_the_field_at_fault(body: bytes, reason: str, field: str) -> None:
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(body)
    assert (refused.value.reason, refused.value.field) == (reason, field)
    assert "\n" not in str(refused.value)


def test_a_message_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    spare = MAX_MESSAGE_BYTES - len(an_envelope(padding=""))
    decode_from_worker(an_envelope(padding="x" * spare))
    with pytest.raises(UndecodableError, match="65537 bytes, more than the 65536 allowed"):
        decode_from_worker(an_envelope(padding="x" * (spare + 1)))


@given(body=st.binary(max_size=300))
def test_no_bytes_do_anything_but_be_refused(body: bytes) -> None:
    for model in (FromWorker, ToWorker, FromSubmitter):
        with pytest.raises(UndecodableError):
            decode(body, model)


@given(worker=json_values, events=json_values | st.lists(json_values | st.fixed_dictionaries({"type": json_values})))
def test_no_json_does_anything_but_be_read_or_refused(worker: Any, events: Any) -> None:
    for body in (an_envelope(worker=worker, events=events), an_envelope(events=events)):
        try:
            message, _ = decode_from_worker(body)
        except UndecodableError as refused:
            assert refused.reason in {"invalid", "unstorable"}  # noqa: PT017 - the other outcome is fine too
        else:
            assert message.events == []


def test_a_refusal_never_quotes_a_nul() -> None:
    job = {"name": "j", "tasks": [a_named("a\x00", "b"), a_named("b", "a\x00")]}
    body = {"submitter": "me", "sent_at": "2026-01-01T00:00:00Z", "events": [{"type": "job.submit", "job": job}]}
    with pytest.raises(UndecodableError) as refused:
        decode(json.dumps(body).encode(), FromSubmitter)
    assert refused.value.detail == "Value error, cycle: a\ufffd -> b -> a\ufffd"
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(an_envelope(events=[{"type": "worker.heartbeat", "stats": {"gpus": [{"a\x00": 1}]}}]))
    assert "\x00" not in refused.value.field


def a_named(name: str, after: str) -> dict[str, Any]:
    return {"name": name, "kind": "echo", "commands": [{"name": "echo"}], "after": [after]}


# --- what a newer version may say --------------------------------------------------------------------------


@given(extra=json_values)
def test_fields_of_a_newer_version_are_ignored(extra: Any) -> None:
    plain, _ = decode_from_worker(an_envelope(instance="00000000-0000-0000-0000-000000000001", events=[FINISHED]))
    body = an_envelope(
        v=2, instance="00000000-0000-0000-0000-000000000001", hue=extra, events=[FINISHED | {"taste": extra}]
    )
    message, unknown = decode_from_worker(body)
    assert (message.model_copy(update={"v": 1}), unknown) == (plain, 0)


@given(
    kind=st.text(max_size=2000).filter(lambda kind: kind not in EVENT_TYPES and kind.isprintable()),
    fields=st.dictionaries(st.text("abc", max_size=3), json_values, max_size=3),
    place=st.integers(0, 2),
)
def test_events_of_a_newer_version_are_left_out_and_counted(kind: str, fields: dict[str, Any], place: int) -> None:
    events = [FINISHED, FINISHED | {"attempt": 2}]
    events.insert(place, fields | {"type": kind})
    message, unknown = decode_from_worker(an_envelope(events=events))
    assert unknown == 1
    assert [event.attempt for event in message.events if isinstance(event, TaskFinished)] == [1, 2]


@pytest.mark.parametrize("raw", [b"123456789012345678901", b'"\\u0000"', b"1e999"])
def test_beside_an_event_of_a_newer_version_all_else_is_checked_as_ever(raw: bytes) -> None:
    events = [{"type": "worker.dreams"}, FINISHED | {"result": "@@"}]
    with pytest.raises(UndecodableError) as refused:
        decode_from_worker(an_envelope(events=events).replace(b'"@@"', raw))
    assert refused.value.reason == "unstorable"
    decode_from_worker(an_envelope(events=[{"type": "worker.dreams", "of": "@@"}, FINISHED]).replace(b'"@@"', raw))


def test_commands_of_a_newer_coordinator_and_its_fields_are_ignored() -> None:
    attempt = {
        "task": 1, "attempt": 1, "job": 1, "name": "n", "kind": "echo", "lease_s": 30, "directory": "1/1", "flavour": 1,
        "commands": [{"name": "echo", "retry": "never"}], "resources": {"slots": 1, "tpus": 4}, "day": "2026-01-01",
    }  # fmt: skip
    said = {
        "v": 2,
        "worker": "w",
        "epoch": 1,
        "commands": [{"type": "sing"}, {"type": "assign", "attempts": [attempt]}],
    }
    message, unknown = decode_to_worker(json.dumps(said).encode())
    assert ([command.type for command in message.commands], unknown) == (["assign"], 1)
