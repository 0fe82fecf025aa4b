"""Jobs as people submit them: what is taken, and what is refused and how that is said."""

import json
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from coordinator.domain.template import fill
from schemas.base import MAX_MESSAGE_BYTES, decode
from schemas.envelope import FromSubmitter
from schemas.job import MAX_SPEC_BYTES, MAX_TASKS, JobSpec, TaskSpec
from schemas.task import AssignedAttempt, Input
from tests.support.farm import a_task
from tests.unit.schemas.instances import json_values

NAMES = st.sampled_from([f"t{number}" for number in range(8)])


def a_job(*tasks: dict[str, Any], **fields: Any) -> JobSpec:
    return JobSpec.model_validate({"name": "job", "tasks": [a_task(**task) for task in tasks]} | fields)


def refusal(*tasks: dict[str, Any], **fields: Any) -> tuple[str, str]:
    """Field and words of the first fault."""
    with pytest.raises(ValidationError) as refused:
        a_job(*tasks, **fields)
    first = refused.value.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")


# --- the graph ---------------------------------------------------------------------------------------------


@given(needs=st.dictionaries(NAMES, st.lists(NAMES, max_size=4), min_size=1))
def test_a_graph_is_taken_exactly_when_all_it_names_is_there_and_it_has_no_cycle(needs: dict[str, list[str]]) -> None:
    tasks = [{"name": name, "after": after} for name, after in needs.items()]
    unknown = {other for after in needs.values() for other in after} - needs.keys()
    try:
        list(TopologicalSorter(needs).static_order())
        cyclic = False
    except CycleError:
        cyclic = True

    if not unknown and not cyclic:
        assert [task.name for task in a_job(*tasks).tasks] == list(needs)
        return
    _, words = refusal(*tasks)
    if unknown:
        assert any(f"waits for {name!r}, which is not in this job" in words for name in unknown)
        return
    cycle = words.removeprefix("cycle: ").split(" -> ")
    assert cycle[0] == cycle[-1]
    assert all(following in needs[name] for name, following in pairwise(cycle))


def test_a_cycle_is_named_task_by_task() -> None:
    tasks = ({"name": "a", "after": ["b"]}, {"name": "b", "after": ["c"]}, {"name": "c", "after": ["a"]})
    assert refusal(*tasks, {"name": "d", "after": ["a"]}) == ("", "cycle: a -> b -> c -> a")
    assert refusal({"name": "me", "after": ["me"]}) == ("", "cycle: me -> me")


def test_a_long_chain_is_no_recursion_and_a_long_cycle_is_told_in_one_line() -> None:
    chain = [{"name": f"t{n}", "after": [f"t{n + 1}"]} for n in range(5000)]
    assert a_job(*chain, {"name": "t5000"}).total == 5001
    _, words = refusal(*chain[:-1], {"name": "t4999", "after": ["t0"]})
    assert words.startswith("cycle: t0 -> t1 -> ")
    assert len(words) < 300


def test_names_tell_tasks_apart() -> None:
    assert refusal({"name": "a"}, {"name": "b"}, {"name": "a"}) == (
        "", "two tasks are named 'a'; names tell tasks apart"
    )  # fmt: skip


def test_a_dependency_is_a_name_or_says_until_when_it_waits() -> None:
    job = a_job(
        {"name": "a"}, {"name": "b", "after": ["a"]}, {"name": "c", "after": [{"task": "a", "after": "promoted"}]}
    )
    assert [[(need.task, need.after) for need in task.after] for task in job.tasks] == [
        [], [("a", "accepted")], [("a", "promoted")]
    ]  # fmt: skip
    field, _ = refusal({"name": "a"}, {"name": "b", "after": [{"task": "a", "after": "lunch"}]})
    assert field == "tasks.1.after.0.after"


# --- arrays ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("array", [{}, {"count": 2, "values": [1]}])
def test_an_array_has_a_count_or_values_and_not_both(array: dict[str, Any]) -> None:
    assert refusal({"array": array}) == ("tasks.0.array", "give either count or values")


@pytest.mark.parametrize("array", [{"count": 0}, {"count": MAX_TASKS + 1}, {"values": []}, {"count": -1}])
def test_an_array_stands_for_one_to_a_million_tasks(array: dict[str, Any]) -> None:
    field, _ = refusal({"array": array})
    assert field.startswith("tasks.0.array")


def test_a_job_has_at_most_a_million_tasks_in_all() -> None:
    assert a_job({"array": {"count": MAX_TASKS}}).total == MAX_TASKS
    assert refusal({"array": {"count": MAX_TASKS}}, {"name": "one more"}) == (
        "", "1000001 tasks, more than the 1000000 one job may have"
    )  # fmt: skip


# --- sizes -------------------------------------------------------------------------------------------------


def test_a_specification_of_the_limit_is_taken_and_one_byte_more_is_refused_with_its_size() -> None:
    def parameters(length: int) -> list[dict[str, Any]]:
        return [{"name": "echo", "parameters": {"message": "x" * length}}]

    spare = MAX_SPEC_BYTES - a_job({"commands": parameters(0)}).tasks[0].told_bytes
    assert a_job({"commands": parameters(spare)}).tasks[0].told_bytes == MAX_SPEC_BYTES
    assert refusal({"commands": parameters(spare + 1)}) == (
        "tasks.0", "the specification takes 32769 bytes, more than the 32768 allowed; pass large data by reference"
    )  # fmt: skip


def test_bytes_are_counted_not_characters() -> None:
    field, words = refusal({"environment": {"A": "é" * 17_000}})
    assert field == "tasks.0"
    assert "more than the 32768 allowed" in words


@given(value=json_values, template=st.sampled_from(["{{value}}", "a {{ value }} b", "{{value}}{{value}}", "{{index}}"]))
def test_an_element_never_takes_more_than_was_counted_for_it(value: Any, template: str) -> None:
    commands = [{"name": "echo", "parameters": {"message": template, "again": [template]}}]
    task = a_job({"commands": commands, "array": {"values": [value]}}).tasks[0]
    filled = fill(json.loads(task.model_dump_json(exclude={"array", "after"})), 0, value)
    assert len(json.dumps(filled, ensure_ascii=False, separators=(",", ":")).encode()) <= task.told_bytes


def test_an_element_that_fits_no_message_is_refused_although_its_template_does() -> None:
    commands = [{"name": "echo", "parameters": {"message": "{{value}}"}}]
    field, words = refusal({"commands": commands, "array": {"values": ["short", "x" * 40_000]}})
    assert field == "tasks.0"
    assert words.startswith("the specification of an element takes up to 4")


def test_whatever_is_taken_can_be_told_to_a_worker_in_one_message() -> None:
    commands = [{"name": "echo", "parameters": {"message": "x" * 30_000}}]
    join = {"name": "join", "after": ["frames"], "commands": commands}
    spec = a_job({"name": "frames", "array": {"count": 10_000}}, join).tasks[1]
    attempt = AssignedAttempt.model_validate(
        spec.model_dump(include={"kind", "commands", "environment", "promote", "upload"})
        | {"task": 1, "attempt": 1, "job": 1, "name": "join", "lease_s": 30, "directory": "1/1", "day": "2026-01-01"}
        | {"inputs": [Input(name="frames", first=2**62, attempts=[10] * 10_000)]}
    )
    assert len(attempt.model_dump_json().encode()) < MAX_MESSAGE_BYTES - 1024


def test_what_cannot_be_told_in_one_message_is_refused_with_what_to_do() -> None:
    names = [f"{number:0>200}" for number in range(300)]
    _, words = refusal(*({"name": name} for name in names), {"name": "join", "after": names})
    assert words == "task 'join' waits for more than can be told to its worker (300 tasks); join them in several steps"


# --- the rest ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        ({"priority": -1}, "priority"),
        ({"priority": 101}, "priority"),
        ({"kind": "two words"}, "kind"),
        ({"kind": ""}, "kind"),
        ({"name": ""}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"commands": []}, "commands"),
        ({"commands": [{"name": "echo", "parametres": {}}]}, "commands.0.parametres"),
        ({"resources": {"slots": 0}}, "resources.slots"),
        ({"resources": {"gpu": 1}}, "resources.gpu"),
        ({"retries": -1}, "retries"),
        ({"environment": {"1X": "a"}}, "environment.1X.[key]"),
        ({"environment": {"A=B": "a"}}, "environment.A=B.[key]"),
        ({"promote": "/etc"}, "promote"),
        ({"promote": "../up"}, "promote"),
        ({"promote": "a/../../b"}, "promote"),
        ({"promote": "C:/x"}, "promote"),
        ({"promote": "a\\b"}, "promote"),
        ({"promote": ""}, "promote"),
        ({"prioritty": 1}, "prioritty"),
    ],
)
def test_what_a_task_may_not_say_is_refused_with_its_field(fields: dict[str, Any], where: str) -> None:
    assert refusal(fields)[0] == f"tasks.0.{where}"


@given(priority=st.integers(0, 100), retries=st.integers(0, 100), values=st.lists(json_values, min_size=1, max_size=5))
def test_a_submission_survives_the_wire(priority: int, retries: int, values: list[Any]) -> None:
    job = a_job(
        {"priority": priority, "retries": retries, "array": {"values": values}}, {"name": "b", "after": ["task"]}
    )
    said = FromSubmitter(submitter="me", sent_at="2026-01-01T00:00:00Z", events=[{"job": job}])
    assert decode(said.model_dump_json().encode(), FromSubmitter) == said
    assert TaskSpec.model_validate_json(job.tasks[0].model_dump_json()) == job.tasks[0]
