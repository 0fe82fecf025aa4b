"""The program as a whole: help, wrong words, exit codes, and errors in one line."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from coordinator.cli import program
from coordinator.cli.command import CommandError
from coordinator.client import ExitCode, FarmhandError
from tests.unit.cli.conftest import Run

COMMANDS = ["submit", "jobs", "tasks", "logs", "story", "workers", "queues", "parked", "coordinator", "agent", "config"]
WHERE = "(--debug shows where)"
MISSING = "this command needs what is not installed: pip install 'farmhand[coordinator]'"


def test_help_starts_with_examples_and_lists_every_command(farmhand: Run) -> None:
    done = farmhand("--help")

    assert done.code == 0
    assert done.out.index("Examples:\n    farmhand demo ") < done.out.index("Options:") < done.out.index("Commands:")
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", done.out, re.MULTILINE), name


def test_without_words_it_says_what_there_is(farmhand: Run) -> None:
    assert farmhand().out == farmhand("--help").out


def test_every_command_shows_examples_on_lines_of_their_own(farmhand: Run) -> None:
    for words in _all_commands():
        done = farmhand(*words, "--help")
        assert done.code == 0, words
        assert re.search(r"^  Examples:\n    (FARMHAND_\S+ )*farmhand ", done.out, re.MULTILINE), words
        assert "--json" in done.out, words


def _all_commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, command in program.build().commands.items():
        below = getattr(command, "commands", None)
        if name not in ("agent", "up", "demo"):
            found.extend([(name, verb) for verb in below] if below else [(name,)])
    return found


def test_a_wrong_word_suggests_the_right_one(farmhand: Run) -> None:
    slips = ((("jbos",), "jobs"), (("jobs", "cancle"), "cancel"), (("submit", "--prioriti", "3"), "--priority"))
    for words, right in slips:
        done = farmhand(*words)
        assert done.code == 2
        assert right in done.err
        assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("tasks",), "say of which job"),
        (("jobs", "cancel", "x"), "'x' is not the number of a job"),
        (("jobs", "show", "0"), "Invalid value for 'JOB'"),
        (("jobs", "--state", "lazy"), "Invalid value for '--state'"),
        (("jobs", "wait", "1", "--timeout", "soon"), "'soon' is not a time such as 90s"),
        (("workers", "label", "node-1"), "give the labels that are approved, or --clear for none"),
        (("workers", "label", "node-1", "a", "--clear"), "give the labels that are approved, or --clear for none"),
        (("logs", "1", "--follow", "--json"), "do not go together"),
        (("story", "thing", "1"), "Invalid value for 'task|worker|job'"),
        (("submit",), "nothing to submit"),
        (("submit", "--timeout", "3s", "--", "true"), "--timeout goes with --wait"),
        (("queues", "--url", "farm"), "'farm' is not a URL such as http://"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_two(farmhand: Run, words: tuple[str, ...], said: str) -> None:
    done = farmhand(*words)

    assert done.code == 2
    assert said in done.err.splitlines()[0]
    assert done.out == ""


def test_an_absent_coordinator_is_exit_code_six(farmhand: Run) -> None:
    done = farmhand("jobs")

    assert (done.code, done.out) == (6, "")
    assert done.err == (
        "farmhand: no coordinator answers at http://127.0.0.1:9: start one (farmhand up), or set FARMHAND_URL\n"
    )


def test_ids_are_read_from_standard_input(farmhand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("12\nx\n"))
    assert "'x' is not the number of a task" in farmhand("tasks", "cancel", "-").err
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert "no task was given" in farmhand("tasks", "cancel", "-").err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (FarmhandError("no\x1b[31m", status=409), ExitCode.REFUSED, "farmhand: no\\x1b[31m"),
        (CommandError("one\ntwo"), 2, "farmhand: one\nfarmhand: two"),
        (ModuleNotFoundError("", name="asyncpg.pool"), 2, f"farmhand: {MISSING}"),
        (ModuleNotFoundError("no x", name="x"), 1, f"farmhand: unexpected ModuleNotFoundError: no x {WHERE}"),
        (ValueError("odd\nthing"), 1, f"farmhand: unexpected ValueError: odd thing {WHERE}"),
    ],
)  # fmt: skip
def test_every_error_ends_in_one_line(
    capsys: pytest.CaptureFixture[str], error: Exception, code: int, said: str
) -> None:
    assert program.ending(error) == code
    assert capsys.readouterr().err == said + "\n"


def test_a_traceback_is_shown_only_when_asked_for(farmhand: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "build", _broken)
    assert farmhand("jobs").err == "farmhand: unexpected RuntimeError: broken (--debug shows where)\n"
    assert "Traceback" in farmhand("jobs", "--debug").err
    monkeypatch.setenv("FARMHAND_DEBUG", "1")
    assert "Traceback" in farmhand("jobs").err


def _broken() -> None:
    raise RuntimeError("broken")


def test_settings_that_make_no_sense_are_named_by_their_variable(
    farmhand: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARMHAND_LOST_AFTER_S", "3")
    monkeypatch.setenv("FARMHAND_HTTP_PORT", "x")
    done = farmhand("coordinator")

    assert done.code == 2
    assert [line.partition(": Input")[0] for line in done.err.splitlines()] == [
        "farmhand: FARMHAND_HTTP_PORT", "farmhand: FARMHAND_LOST_AFTER_S",
    ]  # fmt: skip


def test_help_imports_nothing_slow() -> None:
    script = (
        "import sys; from coordinator.cli.program import run; run(['--help']);"
        "print([name for name in ('httpx', 'pydantic', 'yaml', 'asyncpg', 'fastapi') if name in sys.modules])"
    )
    root = Path(program.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)

    assert done.stdout.splitlines()[-1] == "[]"


def test_the_client_works_without_the_coordinators_libraries() -> None:
    script = (
        "import sys\n"
        "for name in ('alembic', 'asyncpg', 'fastapi', 'prometheus_client', 'sqlalchemy', 'uvicorn'):\n"
        "    sys.modules[name] = None\n"
        "from coordinator.cli.program import run\n"
        "words = (['jobs', '--url', 'http://127.0.0.1:9'], ['submit', '--dry-run', '--', 'true'], ['migrate'])\n"
        "print([int(run(one)) for one in words])\n"
    )
    root = Path(program.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=root)

    assert done.stdout.splitlines()[-1] == "[6, 0, 2]"
    assert "pip install 'farmhand[coordinator]'" in done.stderr
