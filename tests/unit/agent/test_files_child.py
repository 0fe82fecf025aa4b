"""Copies and moves, by the program that tasks run: nothing is overwritten silently, a lost attempt does no harm."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.chance import examples
from worker_agent.runners.files import CHILD


def run(command: str, *words: object) -> tuple[int, list[str]]:
    """What the program says, and its exit code."""
    argv = [sys.executable, "-I", "-S", str(CHILD), command, *map(str, words)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


def refused(command: str, *words: object) -> str:
    code, said = run(command, *words)
    assert code == 1
    assert said[-1].startswith("refused: ")
    return said[-1]


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on another file system."""
    directory = Path(tempfile.mkdtemp(dir="/dev/shm"))
    assert directory.stat().st_dev != tmp_path.stat().st_dev
    yield directory
    shutil.rmtree(directory)


def tree(root: Path) -> dict[str, str]:
    """Everything below *root*: the content of files, the targets of links."""
    return {
        str(path.relative_to(root)): str(path.readlink())
        if path.is_symlink()
        else path.read_text()
        if path.is_file()
        else "/"
        for path in sorted(root.rglob("*"))
    }


# --- copy-file ---------------------------------------------------------------------------------------------


def test_a_copy_has_the_content_the_mode_and_the_time_and_leaves_nothing_else(tmp_path: Path) -> None:
    source, destination = tmp_path / "a", tmp_path / "deep" / "er" / "b"
    source.write_bytes(os.urandom(9 * 1024 * 1024))
    source.chmod(0o640)
    os.utime(source, (10, 20))
    code, said = run("copy-file", 1, 1, source, destination, "keep")
    assert code == 0
    assert destination.read_bytes() == source.read_bytes()
    assert (destination.stat().st_mode & 0o777, destination.stat().st_mtime) == (0o640, 20)
    assert [path.name for path in destination.parent.iterdir()] == ["b"]
    size = source.stat().st_size
    assert said[:-1] == [f"::progress {done}/{size}" for done in (4 * 2**20, 8 * 2**20, size)]


def test_a_file_is_overwritten_only_when_that_is_said_and_the_same_file_is_no_trouble(tmp_path: Path) -> None:
    source, destination = tmp_path / "a", tmp_path / "b"
    source.write_text("new")
    destination.write_text("old")
    assert "not the same" in refused("copy-file", 1, 1, source, destination, "keep")
    assert destination.read_text() == "old"
    assert run("copy-file", 1, 1, source, destination, "overwrite")[0] == 0
    assert destination.read_text() == "new"
    assert "is the same" in run("copy-file", 1, 2, source, destination, "keep")[1][-1]


def test_what_is_no_file_is_not_copied_and_a_directory_is_not_a_destination(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    assert "no file" in refused("copy-file", 1, 1, tmp_path / "missing", tmp_path / "b", "keep")
    assert "not a file" in refused("copy-file", 1, 1, tmp_path, tmp_path / "b", "keep")
    assert "not a file" in refused("copy-file", 1, 1, tmp_path / "pipe", tmp_path / "b", "keep")
    assert "is a directory" in refused("copy-file", 1, 1, tmp_path / "a", tmp_path, "overwrite")
    assert "there is a file" in refused("copy-file", 1, 1, tmp_path / "a", tmp_path / "a" / "b", "keep")


def test_what_a_killed_attempt_left_half_done_is_taken_away_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("whole")
    (tmp_path / ".b.farmhand-5-1").write_text("ha")
    assert run("copy-file", 5, 2, tmp_path / "a", tmp_path / "b", "keep")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


# --- move-directory ----------------------------------------------------------------------------------------


def a_directory(path: Path) -> dict[str, str]:
    (path / "sub" / "empty").mkdir(parents=True)
    (path / "one.txt").write_text("one")
    (path / "sub" / "two.txt").write_text("two")
    (path / "sub" / "link").symlink_to("../one.txt")
    (path / "sub").chmod(0o750)
    return tree(path)


@pytest.mark.parametrize("far", [False, True], ids=["one disk", "two disks"])
def test_a_moved_directory_is_whole_and_a_second_attempt_knows_it(
    tmp_path: Path, other_disk: Path, *, far: bool
) -> None:
    source, destination = tmp_path / "shot", (other_disk if far else tmp_path) / "archive" / "shot"
    before = a_directory(source)
    assert run("move-directory", 3, 1, source, destination)[0] == 0
    assert tree(destination) == before
    assert (destination / "sub").stat().st_mode & 0o777 == 0o750
    assert not source.exists()
    code, said = run("move-directory", 3, 2, source, destination)
    assert (code, said) == (0, [f"moved to {destination} by an earlier attempt"])
    assert "is there already" in refused("move-directory", 4, 1, source, destination)


def test_a_move_never_goes_over_what_is_there_or_into_itself(tmp_path: Path) -> None:
    source, destination = tmp_path / "shot", tmp_path / "there"
    before = a_directory(source)
    destination.mkdir()
    assert "is there already" in refused("move-directory", 3, 1, source, destination)
    assert "lies in" in refused("move-directory", 3, 1, source, source / "sub" / "x")
    assert "no directory" in refused("move-directory", 3, 1, tmp_path / "missing", tmp_path / "x")
    (tmp_path / "link").symlink_to(source)
    assert "no directory" in refused("move-directory", 3, 1, tmp_path / "link", tmp_path / "x")
    assert tree(source) == before


def test_a_move_that_died_before_it_deleted_the_source_is_carried_to_its_end(tmp_path: Path, other_disk: Path) -> None:
    source, destination = tmp_path / "shot", other_disk / "shot"
    before = a_directory(source)
    shutil.copytree(source, destination, symlinks=True)
    said = {"task": "3", "source": str(source), "source_inode": source.stat().st_ino}
    marker = other_disk / ".shot.farmhand-moved"
    marker.write_text(json.dumps(said | {"inode": destination.stat().st_ino}))
    (source / "late.txt").write_text("written after the copy")
    assert "has changed since it was copied" in refused("move-directory", 3, 2, source, destination)
    assert (source / "late.txt").exists()
    (source / "late.txt").unlink()
    shutil.rmtree(source / "sub")
    assert run("move-directory", 3, 2, source, destination)[0] == 0
    assert (tree(destination), source.exists()) == (before, False)


def test_a_new_directory_at_the_old_place_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    source, destination = tmp_path / "shot", tmp_path / "moved"
    a_directory(source)
    assert run("move-directory", 3, 1, source, destination)[0] == 0
    source.mkdir()
    assert "there is a new" in refused("move-directory", 3, 2, source, destination)


names = st.text(st.sampled_from("ab"), min_size=1, max_size=2)
trees = st.recursive(st.text(max_size=5), lambda inner: st.dictionaries(names, inner, max_size=3), max_leaves=6)


def build(path: Path, what: object) -> None:
    if isinstance(what, dict):
        path.mkdir()
        for name, one in what.items():
            build(path / name, one)
    else:
        path.write_text(str(what))


@settings(max_examples=examples(0.06))
@given(st.dictionaries(names, trees, max_size=3), st.booleans())
def test_whatever_is_moved_arrives_as_it_was(what: dict[str, object], far: bool) -> None:  # noqa: FBT001
    with tempfile.TemporaryDirectory() as here, tempfile.TemporaryDirectory(dir="/dev/shm") as there:
        source, destination = Path(here) / "a", Path(there if far else here) / "b"
        build(source, what)
        before = tree(source)
        for attempt in (1, 2):
            assert run("move-directory", 1, attempt, source, destination)[0] == 0
        assert (tree(destination), source.exists()) == (before, False)


# --- make-directory ----------------------------------------------------------------------------------------


def test_a_directory_is_made_once_and_a_file_in_its_place_is_left_alone(tmp_path: Path) -> None:
    for _ in range(2):
        assert run("make-directory", tmp_path / "a" / "b")[0] == 0
    (tmp_path / "file").write_text("x")
    assert "there is a file" in refused("make-directory", tmp_path / "file")
    assert "there is a file" in refused("make-directory", tmp_path / "file" / "below")
