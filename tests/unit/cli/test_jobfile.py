"""Job files: what they may say, and where their faults are."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from coordinator.cli.jobfile import JobFileError, at, load

GOOD = """\
# two shots, joined
name: shots
priority: 70
tasks:
  - name: frame {{index}}
    kind: exec
    array: {count: 24}
    commands:
      - name: exec
        parameters: {argv: [render, --frame, "{{index}}", --day, 2026-03-01]}
  - name: join
    kind: exec
    after: ["frame {{index}}"]
    commands: [{name: exec, parameters: {argv: [join]}}]
"""


def fault(path: Path, text: str | bytes) -> str:
    """What is wrong with *text*, without the directory."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(JobFileError) as caught:
        load(path, {})
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_yaml_file_is_a_job_and_dates_stay_texts(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(GOOD)

    spec, lines = load(path, {"priority": 3})

    assert (spec.name, spec.priority, spec.total) == ("shots", 3, 25)
    assert spec.tasks[0].commands[0].parameters["argv"] == ["render", "--frame", "{{index}}", "--day", "2026-03-01"]
    assert [need.task for need in spec.tasks[1].after] == ["frame {{index}}"]
    assert at(path, lines, "tasks.1.commands.0.name", "bad") == f"{path}:14: tasks.1.commands.0.name: bad"


def test_a_toml_file_is_the_same_job_and_takes_its_files_name(tmp_path: Path) -> None:
    path = tmp_path / "shots.toml"
    path.write_text('[[tasks]]\nname = "a"\nkind = "exec"\n[[tasks.commands]]\nname = "exec"\n')

    spec, _ = load(path, {})

    assert (spec.name, spec.tasks[0].commands[0].name) == ("shots", "exec")


def test_a_job_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))

    assert load(Path("-"), {})[0].name == "shots"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("priority: 70", "prioritty: 70"), "a.yaml:3: prioritty: there is no such field; did you mean priority?"),
        (("priority: 70", "priority: -1"), "a.yaml:3: priority: Input should be greater than or equal to 0"),
        (("    array: ", "    aray: "), "a.yaml:7: tasks.0.aray: there is no such field; did you mean array?"),
        (("      - name: exec\n        param", "      - nme: exec\n        param"), (
            "a.yaml:9: tasks.0.commands.0.name: is missing\n"
            "a.yaml:9: tasks.0.commands.0.nme: there is no such field; did you mean name?"
        )),
        (("    kind: exec\n    after", "    after"), "a.yaml:11: tasks.1.kind: is missing"),
        (('["frame {{index}}"]', "[fraem]"), "a.yaml:11: task 'join' waits for 'fraem', which is not in this job"),
        (('["frame {{index}}"]', "[join]"), "a.yaml:11: cycle: join -> join"),
        (("name: join", "name: frame {{index}}"), (
            "a.yaml:5: two tasks are named 'frame {{index}}'; names tell tasks apart"
        )),
        (("name: shots", "name: shots\nname: others"), "a.yaml:3: 'name' is given twice"),
        (("name: shots", "name: [shots"), "a.yaml:3: expected ',' or ']', but got ':'"),
        (("name: shots", "name:\tshots\n\tx: 1"), "a.yaml:2: found character '\\t' that cannot start any token"),
        (("name: shots", "name: &a [*a]"), "a.yaml:2: an alias of something that holds it"),
        (("name: shots", "name: sho\x07ts"), "a.yaml:2: the character #x0007 is not allowed"),
        (("name: shots", 'name: "a\\0b"'), "a.yaml:2: name: holds a NUL character"),
        (("{argv: [join]}", "{argv: 123456789012345678901}"), (
            "a.yaml:14: tasks.1.commands.0.parameters.argv: is an integer beyond 64 bits"
        )),
        ((GOOD, "- a"), "a.yaml:1: a job is a mapping with name and tasks"),
        ((GOOD, "# nothing"), "a.yaml:1: the file is empty"),
    ],
)  # fmt: skip
def test_each_fault_has_its_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    before, after = change
    assert before in GOOD

    assert fault(tmp_path / "a.yaml", GOOD.replace(before, after, 1)) == said


def test_what_is_no_text_or_not_there_is_said(tmp_path: Path) -> None:
    assert fault(tmp_path / "a.yaml", b"name: a\nx: \xff") == "a.yaml:2: not UTF-8 text"
    with pytest.raises(JobFileError, match=r"none.yaml: No such file or directory"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(JobFileError, match="Is a directory"):
        load(tmp_path, {})


def test_toml_faults_have_the_parsers_line(tmp_path: Path) -> None:
    assert fault(tmp_path / "a.toml", 'name = "a"\ntasks = [').startswith("a.toml:2: ")
    assert fault(tmp_path / "a.toml", 'name = "a"\nname = "b"\n').startswith("a.toml:2: Cannot overwrite a value")
    assert fault(tmp_path / "a.toml", 'name = "a"\n') == "a.toml: tasks: is missing"


def test_many_faults_are_told_up_to_ten(tmp_path: Path) -> None:
    tasks = "".join(f"  - {{name: t{number}, kind: exec, commands: [{{}}]}}\n" for number in range(15))

    lines = fault(tmp_path / "a.yaml", "tasks:\n" + tasks).splitlines()

    assert lines[0] == "a.yaml:2: tasks.0.commands.0.name: is missing"
    assert lines[9] == "a.yaml:11: tasks.9.commands.0.name: is missing"
    assert lines[10:] == ["a.yaml: and 5 more"]


def test_a_large_file_is_read_fast_and_its_faults_have_lines_too(tmp_path: Path) -> None:
    task = "  - {{name: t{}, kind: exec, commands: [{{name: exec, parameters: {{day: 2026-03-01, x: '{}'}}}}]}}\n"
    text = "tasks:\n" + "".join(task.format(number, "x" * 1000) for number in range(400))
    path = tmp_path / "a.yaml"
    path.write_text(text)

    spec, lines = load(path, {})

    assert (spec.total, spec.tasks[399].commands[0].parameters["day"]) == (400, "2026-03-01")
    assert lines["tasks", 399, "commands"] == 401
    assert fault(path, text.replace("t399, kind", "t399, knd")).startswith("a.yaml:401: tasks.399.kind: is missing")


def test_merged_keys_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(
        "tasks:\n  - &base {name: a, kind: exec, commands: [{name: exec}]}\n  - {<<: *base, name: b, priority: 9}\n"
    )

    found: list[Any] = [(task.name, task.kind, task.priority) for task in load(path, {})[0].tasks]

    assert found == [("a", "exec", 50), ("b", "exec", 9)]
