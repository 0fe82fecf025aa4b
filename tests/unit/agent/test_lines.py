"""The line protocol, and expressions for programs that print progress in their own words."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.task import Outcome, TaskFinished, TaskProgress
from tests.support.chance import examples
from worker_agent.lines import LineError, Output, Progress, Result, by_pattern, compile_pattern, read_line, read_result
from worker_agent.logs import clean


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"::progress 3/10 painting the sky", Progress(3, 10, "painting the sky")),
        (b"::progress 3 / 10", Progress(3, 10, None)),
        (b"::progress 7", Progress(7, None, None)),
        (b"::activity loading the scene", Progress(None, None, "loading the scene")),
        (b'::result {"answer": 42}', Result({"answer": 42})),
        (b"::output preview.png", Output("preview.png")),
        (b"::output", None),
        (b"::something else", None),
        (b"progress 3/10", None),
        (b" ::progress 3/10", None),
        (b"", None),
    ],
)
def test_a_line_says(line: bytes, said: object) -> None:
    assert read_line(line) == said


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"::progress soon", "DONE/TOTAL"),
        (b"::result {", "not JSON"),
        (b"::result NaN", "not a finite number"),
        (b'::result "a\\u0000b"', "NUL"),
        (b'::result "\\ud800"', "not JSON"),
        (b"::result 99999999999999999999", "64 bits"),
    ],
)
def test_a_protocol_line_that_makes_no_sense_is_explained(line: bytes, words: str) -> None:
    with pytest.raises(LineError, match=words):
        read_line(line)


@given(st.sampled_from([b"", b"::", b"::progress ", b"::activity ", b"::result ", b"::output "]), st.binary())
def test_any_line_is_log_or_says_something_that_can_be_sent(start: bytes, line: bytes) -> None:
    said = None
    with contextlib.suppress(LineError):
        said = read_line(start + line)
    if isinstance(said, Progress):
        activity = clean(said.activity or "")
        TaskProgress(task=1, attempt=1, done=said.done or 0, total=said.total or 0, activity=activity).model_dump_json()
    elif isinstance(said, Result):
        TaskFinished(task=1, attempt=1, outcome=Outcome.COMPLETED, result=said.value).model_dump_json()


@settings(max_examples=examples(0.3))
@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(), st.lists, max_leaves=5))
def test_results_come_back_as_they_went(value: object) -> None:
    import json  # noqa: PLC0415

    try:
        raw = json.dumps(value).encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    if "\\u0000" not in raw.decode():
        assert read_result(raw) == value


def test_a_program_is_understood_in_its_own_words() -> None:
    pattern = compile_pattern(r"frame (?P<done>\d+) of (?P<total>\d+)")
    assert list(by_pattern(pattern)("rendering frame 12 of 240 ...\n")) == [Progress(12, 240)]
    assert list(by_pattern(pattern)("nothing of the kind\n")) == []
    assert list(by_pattern(compile_pattern(r"(?P<done>\d+(\.\d+)?)%"))("37.5% done")) == [Progress(37, None)]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(", "not a regular expression"),
        (r"\d+", "needs a group"),
        (r"(?P<done>(\d+)+)x", "repeats a repetition"),
        (r"(?P<done>(a|a)*)x", "repeats alternatives"),
        (r"(?P<done>a*a*a*a*a*a*a*)x", "open repetitions"),
    ],
)
def test_an_expression_that_could_take_for_ever_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compile_pattern(pattern)
