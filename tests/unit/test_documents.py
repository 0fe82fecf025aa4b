"""Documents that name things name all of them, and nothing that is not there."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from coordinator.client.config import ClientSettings
from coordinator.config import Settings as CoordinatorSettings
from coordinator.telemetry import Telemetry
from schemas.views import Numbers
from worker_agent.config import Settings as AgentSettings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])


def first_cells(page: Path) -> list[str]:
    """The first cell of every row of every table, without its quotes."""
    rows = re.findall(r"^\| *`?([^|`]+?)`? *\|", page.read_text(), re.MULTILINE)
    return [row for row in rows if not set(row) <= {"-", " "}]


# --- dependencies ------------------------------------------------------------------------------------------


def every_dependency() -> set[str]:
    """The names of all that pyproject.toml asks for."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = list(project["project"]["dependencies"])
    for some in [*project["project"]["optional-dependencies"].values(), *project["dependency-groups"].values()]:
        asked += [one for one in some if isinstance(one, str) and not one.startswith("farmhand[")]
    names = {re.match(r"[A-Za-z0-9._-]+", one) for one in asked}
    return {name.group() for name in names if name is not None}


def test_every_dependency_has_one_line_that_says_why() -> None:
    said = [name for name in first_cells(DOCS / "dependencies.md") if name != "package"]
    assert sorted(said) == sorted(every_dependency())


# --- settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "heading"),
    [(CoordinatorSettings, "Coordinator"), (AgentSettings, "Agent"), (ClientSettings, "Command line")],
)
def test_every_setting_is_in_the_table_of_its_program(settings: type[BaseSettings], heading: str) -> None:
    page = (DOCS / "operations.md").read_text()
    section = page.partition(f"### {heading}\n")[2].partition("\n#")[0]
    prefix = str(settings.model_config.get("env_prefix"))
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`([^`|]*)`|[^|]*) \|", section, re.MULTILINE))
    expected = {f"{prefix}{name}".upper(): field for name, field in settings.model_fields.items()}
    assert list(rows) == list(expected)
    for variable, field in expected.items():
        default = field.default
        if isinstance(default, str | int | float) and not isinstance(default, bool) and default != "":
            assert rows[variable] == str(default), variable


# --- metrics -----------------------------------------------------------------------------------------------


def test_the_metrics_to_look_at_are_told_under_the_names_that_prometheus_shows() -> None:
    nobody = Numbers(at=datetime.now(UTC), workers=[], queues=[], jobs={}, tasks={}, parked={})
    shown = set(re.findall(r"^# TYPE (\w+)", Telemetry("1").expose(nobody).decode(), re.MULTILINE))
    named = {name for name in first_cells(DOCS / "operations.md") if name.startswith("farmhand_")}
    assert len(named) > 10
    assert named <= shown


# --- references --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_document_points_at_is_there(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", text):
        assert (page.parent / target).exists(), target
    for named in re.findall(r"`((?:coordinator|worker_agent|schemas|tests|docs|deploy|requirements)/[\w./-]+)`", text):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_test_that_a_document_names_exists(page: Path) -> None:
    for file, test in re.findall(r"`(tests/[\w/.]+\.py)::(\w+)`", page.read_text()):
        assert re.search(rf"def {test}\(", (ROOT / file).read_text()), f"{file}::{test}"
