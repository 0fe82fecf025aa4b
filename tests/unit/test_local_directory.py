"""The directory of private servers: what it remembers, and whom it shuts out."""

import os
import socket
from pathlib import Path

import pytest

from coordinator.local.directory import Directory
from coordinator.local.errors import LocalServiceError
from coordinator.local.ports import LOOPBACK, free_port, is_free


def test_a_kept_directory_remembers_its_password_and_ports(tmp_path: Path) -> None:
    first = Directory(tmp_path / "farm")
    password, port = first.password, first.port("amqp")
    first.close()
    second = Directory(tmp_path / "farm")
    assert (second.password, second.port("amqp")) == (password, port)
    second.close()


def test_what_it_remembers_is_for_its_owner_only(tmp_path: Path) -> None:
    directory = Directory(tmp_path / "farm")
    assert len(directory.password) >= 24
    assert (tmp_path / "farm" / "services.json").stat().st_mode & 0o777 == 0o600
    directory.close()


def test_one_owner_at_a_time(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with pytest.raises(LocalServiceError, match="in use by another farmhand"):
        Directory(tmp_path)
    directory.close()
    Directory(tmp_path).close()


def test_a_temporary_directory_is_gone_when_closed() -> None:
    directory = Directory(None)
    assert directory.path.is_dir()
    directory.close()
    directory.close()
    assert not directory.path.exists()


def test_a_temporary_directory_whose_owner_was_killed_is_swept_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left, young, foreign = (tmp_path / name for name in ("farmhand-left", "farmhand-young", "farmhand-other"))
    for directory in (left, young, foreign):
        directory.mkdir()
    for directory in (left, young):
        (directory / "lock").touch()
    os.utime(left / "lock", (0, 0))
    living = Directory(None)
    os.utime(living.path / "lock", (0, 0))
    Directory(None).close()
    assert living.path.exists(), "its owner lives"
    assert young.exists(), "its owner may be about to lock it"
    assert foreign.exists(), "not one of ours"
    assert not left.exists()
    living.close()


def test_a_remembered_port_that_something_took_is_replaced(tmp_path: Path) -> None:
    first = Directory(tmp_path)
    port = first.port("amqp")
    first.close()
    with socket.create_server((LOOPBACK, port)):
        second = Directory(tmp_path, patience_s=0)
        assert second.port("amqp") != port
        second.close()


def test_a_port_that_was_asked_for_and_is_taken_is_an_error(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with socket.create_server((LOOPBACK, free_port())) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalServiceError, match=rf"port {port} \(amqp\) is taken"):
            directory.port("amqp", port)
    directory.close()


def test_servers_of_one_directory_never_share_a_port(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    names = [f"server-{n}" for n in range(50)]
    assert len({directory.port(name) for name in names}) == len(names)
    directory.close()


def test_a_damaged_memory_is_named_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "services.json").write_text("{")
    with pytest.raises(LocalServiceError, match="services.json is damaged"):
        Directory(tmp_path)


def test_a_free_port_is_none_that_the_kernel_gives_to_outgoing_connections() -> None:
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    port = free_port()
    assert is_free(port)
    assert not first <= port <= last
