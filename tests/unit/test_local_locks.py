"""The locked requirements agree with pyproject.toml and with one another: a stale lock fails here first."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_ROOT = Path(__file__).parents[2]
_FILES = {path.stem: path for path in sorted((_ROOT / "requirements").glob("*.txt"))}
_PYPROJECT: dict[str, Any] = tomllib.loads((_ROOT / "pyproject.toml").read_text())
_EXTRAS: dict[str, list[str]] = _PYPROJECT["project"]["optional-dependencies"]
_GROUPS: dict[str, list[Any]] = _PYPROJECT["dependency-groups"]
_PINNED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\]+?))? \\$", re.MULTILINE)
_PYTHONS = ("3.11", "3.12", "3.13")


def _is_for(marker: Marker | None, python: str) -> bool:
    """Whether what has this *marker* is for *python* on Linux."""
    here = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux", "os_name": "posix"}
    return marker is None or marker.evaluate(here)


def _locked(name: str, python: str) -> dict[str, str]:
    """Versions by package that file *name* gives to *python* on Linux."""
    return {
        str(canonicalize_name(package)): version
        for package, version, marker in _PINNED.findall(_FILES[name].read_text())
        if _is_for(Marker(marker) if marker else None, python)
    }


def _group(name: str) -> list[str]:
    return [
        requirement
        for entry in _GROUPS[name]
        for requirement in (_group(entry["include-group"]) if isinstance(entry, dict) else [entry])
    ]


_BASE: list[str] = _PYPROJECT["project"]["dependencies"]
_ALL = [*_BASE, *(one for extra, many in _EXTRAS.items() if extra != "all" for one in many)]
_WANTED = {
    "agent": [*_BASE, *_EXTRAS["gpu"]],
    "runtime": _ALL,
    "dev": [*_ALL, *_group("dev")],
    "bench": _group("bench"),
    "fuzz": _group("fuzz"),
    "build": [*_group("build"), *_PYPROJECT["build-system"]["requires"]],
}


def test_every_file_of_locks_is_known() -> None:
    clients = {name for name in _FILES if name.startswith("client-")}  # of other farms, that tests run
    assert set(_FILES) - clients == set(_WANTED)


@pytest.mark.parametrize("python", _PYTHONS)
@pytest.mark.parametrize("name", _WANTED)
def test_what_we_require_is_locked_at_a_version_that_we_allow(name: str, python: str) -> None:
    locked = _locked(name, python)
    for requirement in (one for one in map(Requirement, _WANTED[name]) if _is_for(one.marker, python)):
        version = locked.get(canonicalize_name(requirement.name))
        assert version, f"{requirement.name} is not in {name}.txt: make lock"
        assert requirement.specifier.contains(version), f"{requirement} is locked at {version}: make lock"


@pytest.mark.parametrize("python", _PYTHONS)
def test_a_package_has_one_version_in_all_files(python: str) -> None:
    everywhere: dict[str, str] = {}
    for name in ("dev", "runtime", "agent", "bench", "build"):
        for package, version in _locked(name, python).items():
            assert everywhere.setdefault(package, version) == version, f"{package} in {name}.txt: make lock"


@pytest.mark.parametrize("name", _FILES)
def test_locks_have_hashes_and_name_no_index(name: str) -> None:
    text = _FILES[name].read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--extra-index" not in text
    entries = re.split(r"\n(?=[A-Za-z])", text)[1:]
    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
