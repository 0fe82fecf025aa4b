"""Flamenco 1's words and ours, all of them, and its numbers, forms and orders. Pure."""

from datetime import date
from ipaddress import IPv4Address
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.attempt import AttemptState
from coordinator.domain.task import TaskState
from coordinator.domain.worker import Connection, Duty
from coordinator.gateways.flamenco_v1 import translate
from coordinator.gateways.flamenco_v1.line import networks_of
from coordinator.gateways.flamenco_v1.wire import OURS, NewTask
from schemas.task import AssignedAttempt, Outcome

#: Flamenco 1 server, tasks: the states that it knows.
TASK_STATUSES: Final = {"ready", "running", "finished", "failed", "aborted"}
#: Flamenco 1 manager, workers: model, and the document's "rendering, available".
WORKER_STATUSES: Final = {"enabled", "disabled", "rendering", "busy", "error", "available"}


def test_each_word_for_a_task_is_mapped_or_named_as_unmappable() -> None:
    assert set(translate.TASK_WORDS) == set(TaskState)
    assert set(translate.TASK_WORDS.values()) == TASK_STATUSES
    # `ready` is what a server says of a task that nobody has; `rendering` is in the document's example.
    assert set(translate.OUTCOMES) == (TASK_STATUSES - {"ready"}) | {"rendering"}
    # A worker cannot say that it was stopped because it was told to: `aborted` is both.
    assert set(translate.OUTCOMES.values()) | {Outcome.CANCELED} == {*Outcome, None}


def test_each_word_for_a_worker_is_mapped_both_ways() -> None:
    assert set(translate.DUTIES) == WORKER_STATUSES
    assert set(translate.WORKER_WORDS) == set(Duty)
    assert set(translate.WORKER_WORDS.values()) <= WORKER_STATUSES
    assert set(translate.CONNECTIONS) == set(Connection)
    assert set(translate.CONNECTIONS.values()) == {"online", "offline"}
    assert translate.HELD | {AttemptState.ENDED} == set(AttemptState)


@given(st.ip_addresses(v=4), st.integers(1, 65535))
def test_a_workers_number_is_its_address_and_port(host: IPv4Address, port: int) -> None:
    foreign = translate.foreign_id(host, port)
    assert translate.foreign_of(translate.number_of(foreign)) == foreign
    assert translate.number_of(foreign) < 2**48


@pytest.mark.parametrize("number", [2**48, 2**53, 0, 65536])
def test_other_numbers_are_nobodys(number: int) -> None:
    assert translate.foreign_of(number) is None


@given(st.integers(0, OURS - 1), st.integers(1, 2**40))
def test_numbers_of_their_tasks_and_of_ours_never_meet(theirs: int, ours: int) -> None:
    assert translate.told(ours, translate.key_of(theirs)) == theirs
    assert translate.sought(theirs) == translate.key_of(theirs)
    for key in (None, "nightly", "flamenco_v1:x"):
        assert translate.sought(translate.told(ours, key)) == ours


@pytest.mark.parametrize(("theirs", "ours"), [(None, 50), (0, 100), (10, 90), (100, 0), (5000, 0), (-5, 100)])
def test_their_lower_priority_goes_first(theirs: int | None, ours: int) -> None:
    """Flamenco 1 server, dispatch: tasks ordered by priority, the lowest first."""
    task = NewTask.model_validate({"task_id": 1, "type": "exec", "priority": theirs})
    assert translate.job_of(task)["tasks"][0]["priority"] == ours


def attempt(**changes: Any) -> AssignedAttempt:
    """One that a Flamenco 1 worker can run, but for the changes."""
    fields = {"task": 7, "attempt": 1, "job": 3, "name": "frame", "kind": "exec", "lease_s": 30, "directory": "7/1",
              "day": date(2026, 3, 1), "commands": [{"name": "exec", "parameters": {"argv": ["true", "-v"]}}],
              "environment": {"FLAMENCO_PARSER": "blender_render"}}  # fmt: skip
    return AssignedAttempt.model_validate(fields | changes)


def test_a_task_is_told_in_the_words_of_execute_task() -> None:
    """Flamenco 1 worker: POST /execute_task with task_id, task_parser, settings, task_command as JSON."""
    assert translate.cannot_run(attempt()) is None
    order = translate.order_of(attempt(), 12)
    assert (order["task_id"], order["task_parser"], order["settings"]) == ("12", "blender_render", "{}")
    assert order["task_command"] == '["true", "-v"]'


EXEC: Final = {"name": "exec", "parameters": {"argv": ["true"]}}


@pytest.mark.parametrize(
    "changes",
    [
        {"commands": [EXEC, EXEC]},
        {"commands": [{"name": "sleep"}]},
        {"commands": [{"name": "exec", "parameters": {}}]},
        {"commands": [{"name": "exec", "parameters": {"argv": [1]}}]},
        {"commands": [{"name": "exec", "parameters": {"argv": []}}]},
        {"commands": [{"name": "exec", "parameters": {"argv": ["true"], "cwd": "/srv"}}]},
        {"environment": {"LANG": "C"}},
        {"promote": "out"},
        {"upload": ["*.png"]},
    ],
)
def test_what_a_flamenco_1_worker_cannot_do_is_named(changes: dict[str, Any]) -> None:
    assert translate.cannot_run(attempt(**changes))


def test_networks_are_of_the_fourth_version_and_exact() -> None:
    assert [str(one) for one in networks_of("127.0.0.0/8, 10.1.0.0/16")] == ["127.0.0.0/8", "10.1.0.0/16"]
    for wrong in ("10.0.0.1/8", "fe80::/64", "farm"):
        with pytest.raises(ValueError, match="."):
            networks_of(wrong)
    assert translate.host_of("::ffff:10.0.0.1") == IPv4Address("10.0.0.1")
    assert translate.host_of("fe80::1") is None
    assert translate.host_of("testclient") is None
