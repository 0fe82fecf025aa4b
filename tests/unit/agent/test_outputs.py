"""Outputs: what is listed, what is refused, and a promotion that can be repeated at any point."""

import os
from pathlib import Path

import pytest

from schemas.task import OutputFile
from worker_agent.outputs import MOST_UPLOAD_BYTES, OutputError, check_name, discard, manifest, promote, wanted


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """An attempt's directory with two files."""
    directory = tmp_path / "outputs" / "1" / "1"
    (directory / "sub").mkdir(parents=True)
    (directory / "a.txt").write_text("one")
    (directory / "sub" / "b.txt").write_text("two")
    return directory


def files(directory: Path) -> dict[str, str]:
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob("*") if path.is_file()}


def test_every_regular_file_is_listed_and_nothing_else(source: Path) -> None:
    (source / "link").symlink_to("/etc/passwd")
    (source / "loop").symlink_to(source)
    os.mkfifo(source / "pipe")
    assert [(output.name, output.size) for output in manifest(source)] == [("a.txt", 3), ("sub/b.txt", 3)]


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a/../../x", "a\\b", "C:/x", "a\0b", "x" * 401, "a\ud800"])
def test_names_that_could_do_harm_are_refused(name: str) -> None:
    with pytest.raises(OutputError):
        check_name(name)


def test_copies_are_wanted_by_pattern_and_up_to_25_mib() -> None:
    def an_output(name: str, size: int = 1) -> OutputFile:
        return OutputFile(name=name, size=size, digest="0" * 64)

    assert wanted(an_output("a/b.png"), ["*.png"])
    assert not wanted(an_output("a.exr"), ["*.png", "*.jpg"])
    assert not wanted(an_output("a.png", MOST_UPLOAD_BYTES + 1), ["*"])
    assert not wanted(an_output("a.png"), [])


def test_a_promotion_can_be_repeated_and_leaves_no_temporary_files(source: Path, tmp_path: Path) -> None:
    outputs = manifest(source)
    for _ in range(2):
        promote(source, tmp_path / "published", "film/shot", outputs)
    target = promote(source, tmp_path / "published", "film/shot", outputs)
    assert target == tmp_path / "published" / "film" / "shot"
    assert files(target) == {"a.txt": "one", "sub/b.txt": "two"}
    assert sum(1 for path in target.rglob("*") if path.is_file()) == 2, "nothing else, hidden or not"


def test_a_promotion_that_stopped_in_the_middle_is_carried_to_its_end(source: Path, tmp_path: Path) -> None:
    outputs = manifest(source)
    target = promote(source, tmp_path / "published", "film", outputs)
    (target / "sub" / "b.txt").unlink()
    promote(source, tmp_path / "published", "film", outputs)
    assert files(target) == {"a.txt": "one", "sub/b.txt": "two"}


def test_a_promotion_replaces_what_was_there_as_a_whole(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "published" / "film"
    target.mkdir(parents=True)
    (target / "a.txt").write_text("a much longer older text")
    reader = (target / "a.txt").open()
    promote(source, tmp_path / "published", "film", manifest(source))
    assert reader.read() == "a much longer older text", "who reads the old one reads it to its end"
    reader.close()
    assert (target / "a.txt").read_text() == "one"


def test_nothing_is_promoted_through_a_symbolic_link(source: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    root = tmp_path / "published"
    root.mkdir()
    (root / "trap").symlink_to(outside)
    with pytest.raises(OutputError, match="cannot promote"):
        promote(source, root, "trap", manifest(source))
    assert files(outside) == {}


def test_a_link_at_the_target_is_replaced_and_not_followed(source: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    target = tmp_path / "published" / "film"
    target.mkdir(parents=True)
    (target / "a.txt").symlink_to(precious)
    promote(source, tmp_path / "published", "film", manifest(source))
    assert precious.read_text() == "precious"
    assert (target / "a.txt").read_text() == "one"
    assert not (target / "a.txt").is_symlink()


def test_an_output_that_was_swapped_for_a_link_is_not_promoted(source: Path, tmp_path: Path) -> None:
    outputs = manifest(source)
    (source / "a.txt").unlink()
    (source / "a.txt").symlink_to("/etc/passwd")
    with pytest.raises(OutputError):
        promote(source, tmp_path / "published", "film", outputs)


def test_an_output_that_has_changed_since_its_report_is_not_promoted(source: Path, tmp_path: Path) -> None:
    outputs = manifest(source)
    (source / "a.txt").write_text("tampered with")
    with pytest.raises(OutputError, match="has changed"):
        promote(source, tmp_path / "published", "film", outputs)


@pytest.mark.parametrize("target", ["../x", "/x", "a/../../x"])
def test_a_target_outside_the_root_is_refused(source: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(OutputError, match="below its root"):
        promote(source, tmp_path / "published", target, manifest(source))


@pytest.mark.usefixtures("source")
def test_a_directory_is_discarded_with_its_empty_parent(tmp_path: Path) -> None:
    discard(tmp_path / "outputs", "1/1")
    assert not (tmp_path / "outputs" / "1").exists()
    discard(tmp_path / "outputs", "1/1")


@pytest.mark.usefixtures("source")
def test_the_other_attempts_of_a_task_stay(tmp_path: Path) -> None:
    (tmp_path / "outputs" / "1" / "2").mkdir()
    discard(tmp_path / "outputs", "1/1")
    assert (tmp_path / "outputs" / "1" / "2").is_dir()


@pytest.mark.parametrize("directory", ["..", "../outputs", "/", ""])
def test_nothing_outside_the_root_is_discarded(source: Path, tmp_path: Path, directory: str) -> None:
    discard(tmp_path / "outputs" / "1", directory)
    assert files(source) == {"a.txt": "one", "sub/b.txt": "two"}


def test_a_link_is_not_followed_when_a_directory_is_discarded(source: Path, tmp_path: Path) -> None:
    (tmp_path / "outputs" / "2").mkdir()
    (tmp_path / "outputs" / "2" / "1").symlink_to(source)
    discard(tmp_path / "outputs", "2/1")
    assert files(source) == {"a.txt": "one", "sub/b.txt": "two"}
