"""What `farmhand submit` makes of its words."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run


def job(farmhand: Run, *words: str) -> dict[str, Any]:
    """The job that these words stand for."""
    done = farmhand("submit", "--dry-run", *words)
    assert done.code == 0, done.err
    made: dict[str, Any] = json.loads(done.out)
    return made


def test_a_command_is_a_job_of_one_task(farmhand: Run) -> None:
    assert job(farmhand, "--", "/usr/bin/render", "--help", "--", "x") == {
        "name": "render",
        "tasks": [
            {
                "name": "render",
                "kind": "exec",
                "commands": [{"name": "exec", "parameters": {"argv": ["/usr/bin/render", "--help", "--", "x"]}}],
            }
        ],
    }


def test_every_option_finds_its_field(farmhand: Run) -> None:
    made = job(
        farmhand, "--name", "n", "--queue", "gpu", "--priority", "7", "--key", "k", "--kind", "nuke", "--tag", "linux",
        "--tag", "x", "--label", "nda", "--zone", "attic", "--slots", "2", "--cpus", "1.5", "--memory", "1.5G",
        "--gpus", "1", "--env", "A=b=c", "--progress", r"(\d+)/(\d+)", "--steps", "9", "--retries", "0",
        "--promote", "out/a", "--upload", "*.png", "--accept-unknown-kinds", "--", "true",
    )  # fmt: skip

    (task,) = made.pop("tasks")
    assert made == {"name": "n", "queue": "gpu", "priority": 7, "key": "k", "accept_unknown_kinds": True}
    assert task == {
        "name": "n", "kind": "nuke", "tags": ["linux", "x"], "labels": ["nda"], "zone": "attic",
        "resources": {"slots": 2, "cpus": 1.5, "memory_mb": 1536, "gpus": 1}, "environment": {"A": "b=c"},
        "commands": [{"name": "exec", "parameters": {"argv": ["true"], "progress": r"(\d+)/(\d+)"}, "steps": 9}],
        "retries": 0, "promote": "out/a", "upload": ["*.png"],
    }  # fmt: skip


def test_a_count_makes_an_array(farmhand: Run) -> None:
    assert job(farmhand, "--count", "3", "--", "render", "{{index}}")["tasks"][0]["array"] == {"count": 3}


def test_parameters_make_a_task_for_each_combination(farmhand: Run) -> None:
    made = job(farmhand, "--param", "lens=35,50", "--param", "fog=on", "--", "render", "{{value.lens}}")

    assert made["tasks"][0]["array"] == {"values": [{"lens": "35", "fog": "on"}, {"lens": "50", "fog": "on"}]}


@pytest.mark.parametrize(
    ("name", "text", "values"),
    [
        ("shots.txt", "a b\n\nc\n", ["a b", "c"]),
        ("shots.csv", "shot,frames\na,3\nb,4\n", [{"shot": "a", "frames": "3"}, {"shot": "b", "frames": "4"}]),
        ("shots.json", '[1, {"a": 2}]', [1, {"a": 2}]),
    ],
)
def test_a_file_makes_a_task_for_each_item(
    farmhand: Run, tmp_path: Path, name: str, text: str, values: list[Any]
) -> None:
    path = tmp_path / name
    path.write_text(text)

    assert job(farmhand, "--param", str(path), "--", "true")["tasks"][0]["array"] == {"values": values}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--count", "2", "--param", "a=1", "--", "true"), "--count and --param do not go together"),
        (("--param", "a=1", "--param", "a=2", "--", "true"), "--param a is given twice"),
        (("--param", "/none/such", "--", "true"), "--param /none/such: No such file or directory"),
        (("--param", "a=1", "--param", "file", "--", "true"), "--param file: a file goes alone"),
        (("--memory", "much", "--", "true"), "--memory much: that is not a size such as 512M or 4G"),
        (("--env", "A", "--", "true"), "--env A: write NAME=VALUE"),
        (("--kind", "a b", "--", "true"), "tasks.0.kind: String should match pattern"),
        (("--promote", "../x", "--", "true"), "'../x' is not a relative path below its root"),
        (("--", "a\x00b"), "holds a NUL character"),
        (("--", "x" * 40_000), "pass large data by reference"),
        (("none.yaml",), "there is no job file none.yaml; to submit a command: farmhand submit -- none.yaml ..."),
        (("none.yaml", "--", "true"), "give a job file or a command after --, not both"),
        (("--count", "2", "job.yaml"), "--count is for a command; in a job file, write it into the file"),
        (("--",), "nothing to submit"),
    ],
)
def test_words_that_make_no_sense_are_refused_in_one_line(farmhand: Run, words: tuple[str, ...], said: str) -> None:
    done = farmhand("submit", *words)

    assert done.code == 2
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_job_files_own_fields_give_way_to_options(farmhand: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nqueue: cpu\ntasks: [{name: t, kind: exec, commands: [{name: exec}]}]\n")

    made = job(farmhand, str(path), "--queue", "gpu", "--key", "k")

    assert (made["name"], made["queue"], made["key"]) == ("a", "gpu", "k")


def test_a_typing_error_in_a_job_file_is_told_with_its_line(farmhand: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("name: a\nqueeu: cpu\ntasks: [{name: t, kind: exec, commands: [{name: exec}]}]\n")

    done = farmhand("submit", str(path))

    assert (done.code, done.err) == (2, f"farmhand: {path}:2: queeu: there is no such field; did you mean queue?\n")


@pytest.mark.parametrize(
    ("word", "field"),
    [
        ("fail_fast", "fail_fast"),
        ("fail-fast", "fail_fast"),
        ("10%", {"share": 0.1}),
        ("0.25", {"share": 0.25}),
        ("1", {"share": 1.0}),
    ],
)
def test_what_failures_do_is_a_word_or_a_share(farmhand: Run, word: str, field: object) -> None:
    assert job(farmhand, "--on-failure", word, "--", "true")["on_failure"] == field


@pytest.mark.parametrize("word", ["sometimes", "0", "110%", "nan", "-1"])
def test_a_share_that_is_none_is_refused_with_what_to_write(farmhand: Run, word: str) -> None:
    done = farmhand("submit", "--on-failure", word, "--", "true")

    assert done.code == 2
    assert "write continue, fail_fast, or a share of the tasks such as 10% or 0.1" in done.err


def test_late_results_are_for_the_job_to_accept(farmhand: Run) -> None:
    assert job(farmhand, "--late-results", "accept", "--", "true")["late_results"] == "accept"
