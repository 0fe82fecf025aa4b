"""Secrets: read only where the operator allows it, and never told, whatever way a program prints them."""

import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.job import CommandSpec, TaskSpec
from worker_agent.config import ConfigError, load
from worker_agent.logs import CHUNK_BYTES
from worker_agent.masking import MASKED, Mask
from worker_agent.secrets import SecretError, Secrets

#: Few letters, so that values overlap, begin and end alike, and stand within one another.
letters = st.text(st.sampled_from("aabé\n"), max_size=60)
values = st.lists(st.text(st.sampled_from("aabé"), min_size=4, max_size=7), min_size=1, max_size=3)


def fed(mask: Mask, pieces: list[bytes]) -> bytes:
    return b"".join([*map(mask.feed, pieces), mask.close()])


@given(values, letters, st.lists(st.integers(0, 120), max_size=8))
def test_no_value_is_ever_told_and_cuts_make_no_difference(secrets: list[str], text: str, cuts: list[int]) -> None:
    raw = text.encode()
    edges = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    told = fed(Mask(secrets), [raw[a:b] for a, b in pairwise(edges)])
    assert not any(secret in told.decode() for secret in secrets)
    assert told == fed(Mask(secrets), [raw])
    assert told.decode() == Mask(secrets).text(text)
    if not any(secret in text for secret in secrets):
        assert told == raw


@given(values, letters, letters)
def test_what_stands_around_a_value_is_kept(secrets: list[str], before: str, after: str) -> None:
    text = before.replace("a", "x") + secrets[0] + after.replace("a", "y").replace("b", "z")
    told = Mask(secrets[:1]).text(text)
    if secrets[0].strip("é") and "b" not in before and "é" not in before + after:
        assert told == text.replace(secrets[0], MASKED)


def test_what_cannot_be_a_value_is_not_held_back() -> None:
    mask = Mask(["password"])
    assert mask.feed(b"loading\npass") == b"loading\n"
    assert mask.feed(b"es of light\n") == b"passes of light\n"
    assert mask.feed(b"x" * 3 * CHUNK_BYTES) == b"x" * 3 * CHUNK_BYTES
    assert mask.feed(b"pass") == b""
    assert mask.close() == b"pass"


def test_a_secret_of_several_lines_is_masked_line_by_line() -> None:
    mask = Mask(["-----BEGIN KEY-----\r\nMIIEvQIBADAN\nab\n-----END KEY-----"])
    assert mask.text("key: MIIEvQIBADAN, -----END KEY-----, ab") == "key: ***, ***, ab"


def test_every_text_of_a_result_is_masked() -> None:
    value = {"token hunter2": ["hunter2", 7, None, {"x": "not hunter2!"}]}
    assert Mask(["hunter2"]).value(value) == {"token ***": ["***", 7, None, {"x": "not ***!"}]}  # type: ignore[arg-type]


# --- reading -----------------------------------------------------------------------------------------------


def secret(path: Path, value: str = "hunter2", mode: int = 0o600) -> Path:
    path.write_text(value)
    path.chmod(mode)
    return path.parent


def test_a_secret_is_its_file_without_the_last_line_break_and_the_first_directory_counts(tmp_path: Path) -> None:
    own, given = tmp_path / "own", tmp_path / "given"
    own.mkdir()
    given.mkdir()
    secret(given / "token", "from systemd\n")
    assert Secrets([own, given]).read("token", "render") == "from systemd"
    secret(own / "token", "two\nlines\r\n")
    assert Secrets([own, given]).read("token", "render") == "two\nlines"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o606, 0o620])
def test_a_secret_that_others_can_read_or_change_is_refused(tmp_path: Path, mode: int) -> None:
    secret(tmp_path / "token", mode=mode)
    with pytest.raises(SecretError, match=rf"open to others \(mode {mode:04o}\): chmod 600 "):
        Secrets([tmp_path]).read("token", "render")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("abc", "shorter than 4"),
        ("a\nb\nc", "shorter than 4"),
        ("", "shorter than 4"),
        ("with \0 in it", "no variable or log"),
        ("with \ufffd in it", "no variable or log"),
        ("x" * 40_000, "larger than"),
    ],
)
def test_a_secret_that_cannot_be_kept_secret_is_refused_without_being_told(
    tmp_path: Path, value: str, words: str
) -> None:
    secret(tmp_path / "token", value)
    with pytest.raises(SecretError, match=words) as told:
        Secrets([tmp_path]).read("token", "render")
    assert not value or value not in str(told.value)


def test_what_is_not_there_or_no_file_is_said_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xfd\xfc\xfb")
    (tmp_path / "bytes").chmod(0o600)
    for name, words in (("missing", "has no secret"), ("pipe", "not a regular file"), ("bytes", "not text in UTF-8")):
        with pytest.raises(SecretError, match=words):
            Secrets([tmp_path]).read(name, "render")
    with pytest.raises(SecretError, match="no 'secrets_dir'"):
        Secrets().read("token", "render")


def test_only_the_kinds_that_the_operator_names_may_read_a_secret(tmp_path: Path) -> None:
    for name in ("s3-key", "licence"):
        secret(tmp_path / name)
    secrets = Secrets([tmp_path], ["s3-*:upload", "licence:*"])
    assert secrets.read("s3-key", "upload") == secrets.read("licence", "render") == "hunter2"
    with pytest.raises(SecretError, match="kind 'render' may not read the secret 's3-key'"):
        secrets.read("s3-key", "render")


def test_credentials_of_systemd_are_found_and_settings_say_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "systemd"))
    assert load(None, {"secrets_dir": tmp_path}).secrets == [tmp_path, tmp_path / "systemd"]
    with pytest.raises(ConfigError, match="SECRET:KIND"):
        load(None, {"secret_readers": ["s3-key"]})


# --- submitting --------------------------------------------------------------------------------------------


def test_a_secret_may_stand_in_an_environment_and_not_among_arguments() -> None:
    task = TaskSpec.model_validate(
        {
            "name": "up",
            "kind": "exec",
            "environment": {"KEY": {"secret": "s3-key"}, "PLACE": "here"},
            "commands": [{"name": "exec", "parameters": {"argv": ["up"], "env": {"OTHER": {"secret": "x"}}}}],
        }
    )
    assert task.model_dump(mode="json")["environment"] == {"KEY": {"secret": "s3-key"}, "PLACE": "here"}
    for parameters in ({"argv": ["up", {"secret": "s3-key"}]}, {"kwargs": {"words": [{"secret": "s3-key"}]}}):
        with pytest.raises(ValidationError, match="cannot be an argument"):
            CommandSpec.model_validate({"name": "exec", "parameters": parameters})
    for wrong in ({"secret": "../etc/passwd"}, {"secret": "a", "more": 1}, {"secret": ""}):
        with pytest.raises(ValidationError):
            TaskSpec.model_validate(task.model_dump() | {"environment": {"KEY": wrong}})
