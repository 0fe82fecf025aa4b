"""Logs: any bytes become text that can be stored, in chunks that fit a message."""

from hypothesis import given
from hypothesis import strategies as st

from schemas.base import decode
from schemas.task import TaskLog
from tests.unit.agent.builders import TODAY
from worker_agent.logs import ATTEMPT_BYTES, CHUNK_BYTES, LogStream, clean, storable

FITS = 63 * 1024


def read(events: list[bytes]) -> list[TaskLog]:
    """As the coordinator reads them: this refuses what cannot be stored."""
    return [decode(event, TaskLog, limit=FITS) for event in events]


def test_lines_that_gather_share_a_chunk() -> None:
    stream = LogStream(1, 2, TODAY)
    assert stream.write(b"one\n") == []
    assert stream.write(b"two\n") == []
    (log,) = read(stream.flush())
    assert (log.task, log.attempt, log.chunk, log.day, log.text) == (1, 2, 0, TODAY, "one\ntwo\n")
    assert stream.flush() == []
    stream.write(b"three\n")
    assert read(stream.flush())[0].chunk == 1


def test_a_nul_and_bytes_that_are_no_text_are_shown() -> None:
    stream = LogStream(1, 1, TODAY)
    stream.write(b"a\x00b\xffc\n")
    assert read(stream.flush())[0].text == "a\N{SYMBOL FOR NULL}b\N{REPLACEMENT CHARACTER}c\n"


def test_a_chunk_ends_with_a_line_where_it_can() -> None:
    stream = LogStream(1, 1, TODAY)
    events = []
    for number in range(4000):
        events += stream.write(b"line %d\n" % number)
    logs = read(events + stream.flush())
    assert len(logs) > 1
    assert all(log.text.endswith("\n") for log in logs)
    assert "".join(log.text for log in logs) == "".join(f"line {number}\n" for number in range(4000))


def test_a_character_is_not_cut_in_two() -> None:
    stream = LogStream(1, 1, TODAY)
    text = "x" + "ä" * CHUNK_BYTES
    logs = read(stream.write(text.encode()) + stream.flush())
    assert "".join(log.text for log in logs) == text


def test_after_16_mib_one_line_says_that_the_rest_is_missing() -> None:
    stream = LogStream(1, 1, TODAY)
    events = []
    for _ in range(300):
        events += stream.write(b"y" * 100_000)
    logs = read(events + stream.flush())
    assert sum(len(log.text) for log in logs) <= ATTEMPT_BYTES + 100
    assert "log truncated" in logs[-1].text
    assert sum("log truncated" in log.text for log in logs) == 1
    assert [log.chunk for log in logs] == list(range(len(logs)))


@given(st.lists(st.binary(max_size=40_000), max_size=6))
def test_whatever_a_program_prints_arrives_in_numbered_chunks_that_fit(pieces: list[bytes]) -> None:
    stream = LogStream(1, 1, TODAY)
    events = []
    for piece in pieces:
        events += stream.write(piece)
    logs = read(events + stream.flush())
    assert [log.chunk for log in logs] == list(range(len(logs)))
    assert all(len(log.text.encode()) <= CHUNK_BYTES for log in logs)
    raw = b"".join(pieces)
    if raw.isascii():
        assert "".join(log.text for log in logs) == storable(raw)


@given(st.text())
def test_clean_text_can_be_stored(text: str) -> None:
    assert "\0" not in clean(text)
    clean(text).encode()


def test_lone_surrogates_are_cleaned() -> None:
    assert clean("a\ud800b") == "a?b"
