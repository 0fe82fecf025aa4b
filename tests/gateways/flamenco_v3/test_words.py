"""Every status word of Flamenco 3 and of Farmhand is mapped, or named as what cannot be; variables by platform."""

from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.task import TaskState
from coordinator.domain.worker import EFFECTS, Asked, Connection, Duty
from coordinator.gateways.flamenco_v3 import answers, tagging
from coordinator.gateways.flamenco_v3 import translate as t
from coordinator.gateways.flamenco_v3.variables import Variables
from coordinator.gateways.kit import Fault, mended


def test_every_word_is_mapped_or_named_as_unmappable() -> None:
    assert set(t.DUTIES) == set(t.WORKER_STATUSES)
    assert set(t.ASKED) | t.UNASKABLE == set(t.WORKER_STATUSES)
    assert not set(t.ASKED) & t.UNASKABLE
    assert set(t.TOLD) == set(Asked)
    assert set(t.TOLD.values()) <= set(t.WORKER_STATUSES)
    assert set(t.STATUS_OF) == set(Duty)
    assert set(t.STATUS_OF.values()) <= set(t.WORKER_STATUSES)
    assert set(t.OUTCOMES) | set(t.NOT_THEIRS) == set(t.TASK_STATUSES)
    assert not set(t.OUTCOMES) & set(t.NOT_THEIRS)
    assert set(t.TASK_STATUS_OF) == set(TaskState)
    assert set(t.TASK_STATUS_OF.values()) <= set(t.TASK_STATUSES)


@pytest.mark.parametrize("connection", Connection)
@pytest.mark.parametrize("duty", Duty)
def test_every_worker_is_shown_in_one_of_their_words(connection: Connection, duty: Duty) -> None:
    assert t.status_of(connection, duty) in t.WORKER_STATUSES


@pytest.mark.parametrize("asked", Asked)
def test_who_says_what_it_was_told_is_what_it_was_asked_for(asked: Asked) -> None:
    duty = EFFECTS[asked].duty
    assert t.meant_by(t.TOLD[asked]).get(asked) is duty
    assert (t.DUTIES[t.TOLD[asked]] is None) == (duty is None)


@given(st.integers(1, 2**62 - 1), st.integers(1, 2**31 - 1))
def test_a_uuid_names_one_attempt(task: int, attempt: int) -> None:
    uuid = t.task_uuid(task, attempt)
    assert UUID(uuid).version == 8
    assert t.ref_of(uuid) == t.ref_of(uuid.upper()) == (task, attempt)
    assert t.ref_of(t.job_uuid(task)) is None


@given(st.uuids())
def test_other_uuids_name_nothing(uuid: UUID) -> None:
    assert t.ref_of(str(uuid)) is None


@given(st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,19}", fullmatch=True), st.uuids())
def test_a_tags_uuid_spells_its_label(label: str, other: UUID) -> None:
    uuid = tagging.uuid_of(label)
    assert UUID(uuid).version == 8
    assert tagging.wrong_with(label) is not None or tagging.spelled(uuid) == tagging.spelled(uuid.upper()) == label
    found = tagging.spelled(str(other))
    assert found is None or tagging.uuid_of(found) == str(other)


def test_what_is_no_label_is_no_tag() -> None:
    for name in ("", "-gpu", "big gpu", "x" * 21, "worker:a", "é"):
        assert tagging.wrong_with(name), name
    long = tagging.uuid_of("x" * 21)
    assert (UUID(long).version, tagging.spelled(long)) == (5, None)


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_whatever_a_program_writes_can_be_stored(text: str) -> None:
    stored = mended(text)
    assert "\x00" not in stored
    assert stored.encode().decode() == stored
    assert len(stored) <= len(text)


@pytest.mark.parametrize("status", [400, 403, 408, 409, 500, 503])
@pytest.mark.parametrize("path", ["sign-on", "task/x", "task", "state-changed", "task/x/output-produced"])
def test_what_is_to_be_said_again_gets_no_whole_answer_and_all_else_gets_one(status: int, path: str) -> None:
    """Flamenco 3 worker: any answer to an update is the last word, and one to a sign-on but 200 a new registration."""
    told = answers.tell(Fault(status, "no", path=f"/api/v3/worker/{path}"))
    assert isinstance(told, answers.Silence) == (status in (408, 503) and path in ("sign-on", "task/x"))


CONFIGURATION = """
_meta: {version: 3}
variables:
  blender:
    values:
      - {platform: linux, value: /opt/blender}
      - {platform: windows, value: 'C:\\blender.exe'}
  storage:
    is_twoway: true
    values:
      - {platform: linux, audience: users, value: /home/me}
      - {platform: linux, audience: workers, value: /mnt/storage}
  args:
    values: [{platform: all, value: -b -y}]
"""


def test_variables_are_replaced_by_platform_one_level_deep(tmp_path: Path) -> None:
    path = tmp_path / "flamenco-manager.yaml"
    path.write_text(CONFIGURATION)
    variables = Variables(path)
    parameters = {
        "exe": "{blender}",
        "args": ["{args}", "--out", "{storage}/{job}", 3],
        "deep": {"exe": "{blender}"},
        "frames": 5,
    }
    assert variables.replaced(parameters, "linux") == {
        "exe": "/opt/blender",
        "args": ["-b -y", "--out", "/mnt/storage/{job}", 3],
        "deep": {"exe": "{blender}"},
        "frames": 5,
    }
    windows = variables.replaced(parameters, "windows")
    assert (windows["exe"], windows["args"][2]) == ("C:\\blender.exe", "{storage}/{job}")
    path.write_text("variables: 3")
    assert variables.replaced(parameters, "linux")["exe"] == "/opt/blender", "what cannot be read changes nothing"
    path.write_text("variables: {blender: {values: [{platform: linux, value: /new/blender}]}}")
    assert variables.replaced(parameters, "linux")["exe"] == "/new/blender"
    assert Variables(None).replaced(parameters, "linux") == parameters
