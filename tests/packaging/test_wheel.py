"""The wheel holds what it should, and runs where nothing else of ours is installed.

Built without a network, installed into an environment of its own with what an agent needs, from the locked list; and
run in a project that has packages of the same names.
"""

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
#: Long enough to install a dozen packages on a slow line.
PATIENCE_S = 240
pytestmark = pytest.mark.timeout(PATIENCE_S + 60)

Run = Callable[..., subprocess.CompletedProcess[str]]


def run(*words: str | Path, patience_s: float = PATIENCE_S, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in the checkout unless said otherwise."""
    return subprocess.run(
        [str(word) for word in words],
        **({"cwd": ROOT} | options),
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=patience_s,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built by the back end that is installed here."""
    out = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out)
    assert built.returncode == 0, built.stdout + built.stderr
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment that holds the wheel and what an agent needs."""
    place = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(place, with_pip=False, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "--disable-pip-version-check"]
    locked = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", "requirements/agent.txt"]
    for what in (locked, ["--no-deps", "--no-index", str(wheel)]):
        installed = run(*pip, "install", "--quiet", *what)
        assert installed.returncode == 0, installed.stderr
    return place / "bin"


@pytest.fixture
def elsewhere(bare: Path, tmp_path: Path) -> Run:
    """Runs a program of the bare environment in a project that has its own `schemas`."""
    project = tmp_path / "project"
    for name in ("schemas", "worker_agent", "coordinator"):
        (project / name).mkdir(parents=True)
        (project / name / "__init__.py").write_text("raise SystemExit('the wrong package was imported')\n")
    home = tmp_path / "home"
    home.mkdir()
    environment = {"PATH": f"{bare}{os.pathsep}{os.defpath}", "HOME": str(home), "LANG": "C.UTF-8", "COLUMNS": "100"}
    return lambda program, *words: run(bare / program, *words, cwd=project, env=environment, patience_s=60)


def test_the_wheel_holds_exactly_our_three_packages_and_their_data(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    packages = {name.partition("/")[0] for name in names}
    assert {name for name in packages if not name.endswith(".dist-info")} == {"coordinator", "worker_agent", "schemas"}
    tracked = run("git", "ls-files", "coordinator", "worker_agent", "schemas").stdout.split()
    untracked = run("git", "ls-files", "--others", "--exclude-standard", "coordinator", "worker_agent", "schemas")
    here = {name for name in [*tracked, *untracked.stdout.split()] if (ROOT / name).is_file()}
    assert {name for name in names if ".dist-info/" not in name} == here
    for ending in (".sql", "asyncapi.yaml", "jsonschema/worker.online.json", "migrations/script.py", "LICENSE"):
        assert any(name.endswith(ending) for name in names), ending


def test_the_commands_help_beside_a_project_with_packages_of_the_same_names(elsewhere: Run) -> None:
    for program in ("farmhand", "farmhand-agent"):
        helped = elsewhere(program, "--help")
        assert (helped.returncode, helped.stderr) == (0, "")
        assert f"Usage: {program}" in helped.stdout
    version = elsewhere("farmhand", "--version")
    assert version.stdout.startswith("farmhand 0.")


@pytest.mark.parametrize(
    ("command", "extra"),
    [("coordinator", "coordinator"), ("migrate", "coordinator"), ("up", "coordinator"), ("demo", "coordinator,demo")],
)
def test_a_command_whose_extra_is_missing_says_which_to_install(elsewhere: Run, command: str, extra: str) -> None:
    said = elsewhere("farmhand", command)
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.splitlines() == [
        f"farmhand: this command needs what is not installed: pip install 'farmhand[{extra}]'"
    ]


def test_the_agent_and_the_client_need_nothing_of_the_coordinator(elsewhere: Run) -> None:
    code = (
        "import importlib, importlib.util as u, pkgutil, sys\n"
        "import worker_agent, schemas, coordinator.client\n"
        "missing = ['asyncpg', 'alembic', 'sqlalchemy', 'fastapi', 'uvicorn', 'uvloop', 'testcontainers', 'numpy']\n"
        "assert not [name for name in missing if u.find_spec(name)], 'not a bare environment'\n"
        "for package in (worker_agent, schemas, coordinator.client):\n"
        "    for found in pkgutil.walk_packages(package.__path__, package.__name__ + '.'):\n"
        "        importlib.import_module(found.name)\n"
        "print(sorted(name for name in sys.modules if name.startswith('coordinator.') and '.client' not in name))\n"
    )
    # -P: the project's own packages are not for import.
    imported = elsewhere("python", "-P", "-c", code)
    assert (imported.returncode, imported.stderr) == (0, "")
    assert imported.stdout == "[]\n"


def test_farmhand_agent_is_what_farmhand_agent_runs(elsewhere: Run) -> None:
    for said in (elsewhere("farmhand", "agent", "--slots", "501"), elsewhere("farmhand-agent", "--slots", "501")):
        assert said.returncode == 2
        assert said.stderr.startswith("farmhand-agent: slots: ")
        assert len(said.stderr.splitlines()) == 1


def test_the_agent_of_the_wheel_gives_up_in_one_line_where_no_broker_admits_it(elsewhere: Run) -> None:
    said = elsewhere("farmhand-agent", "--amqp-url", "http://nowhere")
    assert said.returncode == 2
    assert said.stderr.startswith("farmhand-agent: amqp_url: ")
