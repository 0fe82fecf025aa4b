"""Which packages are unpacked, and that there is never half a tree. apt itself is played by a script."""

import os
from pathlib import Path

import pytest

from coordinator.local import packages

_APT = """#!/bin/sh
echo "$@" >> "$LOG"
case "$*" in
    *update*) exit 0 ;;
    *install*) cat "$PLAN" ;;
    *download*) while [ "$1" != download ]; do shift; done; shift; for name; do touch "$name.deb"; done ;;
esac
"""
_DPKG = """#!/bin/sh
name=$(basename "$2" .deb); name=${name%%=*}
[ "$name" != "$BROKEN" ] || { echo "dpkg-deb: error: $name is broken" >&2; exit 2; }
mkdir -p "$3/usr/share/$name"
"""
_PLAN = """NOTE: This is only a simulation!
Inst libllvm14 (1:14.0.6-12 Debian:12.11/stable [amd64])
Inst libperl5.36 (5.36.0-7 Debian:12.11/stable [amd64])
Inst libc6 [2.36-9] (2.36-10 Debian:12.11/stable [amd64])
Inst libjson-perl (4.10000-1 Debian:12.11/stable [all])
Inst libpq5 (15.13-0 Debian:12.11/stable [amd64])
Inst ssl-cert (1.1.2 Debian:12.11/stable [all])
Inst postgresql-common (248 Debian:12.11/stable [all])
Inst postgresql-client-15 (15.13-0 Debian:12.11/stable [amd64])
Inst postgresql-15 (15.13-0 Debian:12.11/stable [amd64])
Inst postgresql (15+248 Debian:12.11/stable [all])
Conf libpq5 (15.13-0 Debian:12.11/stable [amd64])
"""


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose apt would install what `_PLAN` says; returns its log."""
    tools, log, plan = tmp_path / "bin", tmp_path / "apt.log", tmp_path / "plan"
    tools.mkdir()
    for name, script in (("apt-get", _APT), ("dpkg-deb", _DPKG)):
        (tools / name).write_text(script)
        (tools / name).chmod(0o755)
    plan.write_text(_PLAN)
    for name, value in (("LOG", log), ("PLAN", plan), ("PATH", f"{tools}:{os.environ['PATH']}")):
        monkeypatch.setenv(name, str(value))
    return log


def test_only_what_a_server_needs_is_downloaded(apt: Path, tmp_path: Path) -> None:
    packages.unpack("postgresql", tmp_path / "cache", say=lambda _line: None)
    download = apt.read_text().splitlines()[-1].split()
    assert download[download.index("download") + 1 :] == [
        "libpq5=15.13-0",
        "postgresql-client-15=15.13-0",
        "postgresql-15=15.13-0",
        "postgresql=15+248",
    ]


def test_a_tree_is_fetched_once(apt: Path, tmp_path: Path) -> None:
    said: list[str] = []
    first = packages.unpack("postgresql", tmp_path / "cache", say=said.append)
    calls = apt.read_text()
    assert packages.unpack("postgresql", tmp_path / "cache", say=said.append) == first
    assert apt.read_text() == calls
    assert len(said) == 1
    assert (first / "usr/share/postgresql-15").is_dir()


@pytest.mark.usefixtures("apt")
@pytest.mark.parametrize("broken", ["postgresql-15", "libpq5"])
def test_there_is_never_half_a_tree(tmp_path: Path, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROKEN", broken)
    with pytest.raises(packages.PackageError, match=f"dpkg-deb failed: dpkg-deb: error: {broken} is broken"):
        packages.unpack("postgresql", tmp_path / "cache", say=lambda _line: None)
    assert not (tmp_path / "cache" / "postgresql").exists()
    monkeypatch.delenv("BROKEN")
    assert packages.unpack("postgresql", tmp_path / "cache", say=lambda _line: None).is_dir()


@pytest.mark.usefixtures("apt")
def test_what_cannot_be_finished_does_not_become_a_tree(tmp_path: Path) -> None:
    def fail(_draft: Path, _tree: Path) -> None:
        raise packages.PackageError("no")

    with pytest.raises(packages.PackageError, match="no"):
        packages.unpack("postgresql", tmp_path / "cache", say=lambda _line: None, finish=fail)
    assert not (tmp_path / "cache" / "postgresql").exists()


def test_without_apt_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(packages.PackageError, match="rabbitmq-server is not on this machine.*: install it"):
        packages.unpack("rabbitmq-server", tmp_path / "cache", say=lambda _line: None)


def test_a_cache_that_cannot_be_written_is_named(apt: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(packages.PackageError, match=r"cannot write to .*/file/cache: Not a directory"):
        packages.unpack("postgresql", tmp_path / "file" / "cache", say=lambda _line: None)
    assert not apt.exists()
