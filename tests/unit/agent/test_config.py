"""Settings: where they come from, what is refused, and what tasks may see of the environment."""

import json
import platform
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from schemas.ids import WORKER_ID_PATTERN
from worker_agent.cli import app
from worker_agent.config import ConfigError, default_worker, environment_of_tasks, load


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of our variables is set."""
    for name in ("WORKER", "SLOTS", "QUEUES", "CONFIG", "AMQP_URL"):
        monkeypatch.delenv(f"FARMHAND_AGENT_{name}", raising=False)


def test_flags_come_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "agent.toml"
    file.write_text('slots = 1\nzone = "file"\nqueues = ["file"]\n')
    monkeypatch.setenv("FARMHAND_AGENT_ZONE", "environment")
    monkeypatch.setenv("FARMHAND_AGENT_SLOTS", "2")
    made = load(file, {"slots": 3, "zone": None})
    assert (made.slots, made.zone, made.queues) == (3, "environment", ["file"])
    monkeypatch.setenv("FARMHAND_AGENT_CONFIG", str(file))
    assert load().queues == ["file"]


def test_lists_are_written_with_commas_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMHAND_AGENT_QUEUES", "urgent, default")
    monkeypatch.setenv("FARMHAND_AGENT_EXECUTABLES", "blender,/opt/*/bin/render")
    made = load()
    assert made.queues == ["urgent", "default"]
    assert made.executables == ["blender", "/opt/*/bin/render"]


def test_a_name_is_made_of_the_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    for host, name in [("Render_07.example.com", "render-07"), ("---", "worker"), ("x" * 200, "x" * 64)]:
        monkeypatch.setattr(platform, "node", lambda host=host: host)
        assert default_worker() == name
        assert re.match(WORKER_ID_PATTERN, default_worker())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("slotz = 4", "unknown setting 'slotz'"),
        ("slots = 0", "slots: Input should be greater than or equal to 1"),
        ('queues = ["two words"]', "queues.0: "),
        ('amqp_url = "http://host"', "should look like amqp://user:password@host:port/vhost"),
        ("slots = ", "is not TOML"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "agent.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert words in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_password_is_not_repeated_in_a_complaint() -> None:
    with pytest.raises(ConfigError) as caught:
        load(None, {"amqp_url": "amqs://me:secret-word@host"})
    assert "secret-word" not in str(caught.value)


def test_tasks_see_the_path_and_what_the_operator_passes_but_nothing_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMHAND_AGENT_AMQP_URL", "amqp://me:secret@host/")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("LICENCE_SERVER", "27000@licences")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    seen = environment_of_tasks(load(None, {"pass_environment": ["LICENCE_*", "FARMHAND_*"]}))
    assert "PATH" in seen
    assert (seen["LICENCE_SERVER"], seen["CUDA_VISIBLE_DEVICES"]) == ("27000@licences", "0")
    assert not any("secret" in value for value in seen.values())


@pytest.mark.parametrize("slots", ["0", "501"])
def test_a_flag_that_cannot_be_is_refused_and_not_forgotten(slots: str) -> None:
    done = CliRunner().invoke(app, ["config", "--slots", slots])
    assert done.exit_code == 2
    assert "slots: Input should be" in done.output
    assert "--slots, FARMHAND_AGENT_SLOTS" in done.output


def test_a_nought_that_can_be_is_taken() -> None:
    shown = json.loads(CliRunner().invoke(app, ["config", "--cpus", "0", "--drain-s", "0"]).stdout)
    assert (shown["cpus"], shown["drain_s"], shown["slots"]) == (0, 0, 1)
