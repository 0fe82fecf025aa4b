"""Joining frames: all of them, each once, in order, and who made which."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageSequence, PngImagePlugin

from coordinator.local.demo import join

Maker = Callable[..., Path]


@pytest.fixture
def a_frame(tmp_path: Path) -> Maker:
    """Makes the directory of an attempt that made one frame."""

    def make(number: int, worker: str = "agent-1", attempt: int = 1) -> Path:
        directory = tmp_path / "attempts" / f"{number}-{attempt}"
        directory.mkdir(parents=True)
        about = PngImagePlugin.PngInfo()
        about.add_text("worker", worker)
        about.add_text("attempt", str(attempt))
        Image.new("RGB", (32, 18), (number, 0, 0)).save(directory / f"frame-{number:04}.png", pnginfo=about)
        return directory

    return make


def count_of(picture: Image.Image) -> int:
    """How many frames it has."""
    return sum(1 for _ in ImageSequence.Iterator(picture))


def test_frames_are_put_in_order(a_frame: Maker) -> None:
    frames = join.collect([a_frame(2), a_frame(0), a_frame(1)], 3)
    assert [frame.number for frame in frames] == [0, 1, 2]


def test_a_missing_frame_is_named(a_frame: Maker) -> None:
    with pytest.raises(join.MissingFramesError, match=r"\[1\]"):
        join.collect([a_frame(0), a_frame(2)], 3)


def test_a_frame_that_is_there_twice_is_refused(a_frame: Maker) -> None:
    with pytest.raises(join.MissingFramesError, match=r"\[0\]"):
        join.collect([a_frame(0), a_frame(0, attempt=2), a_frame(1)], 2)


def test_a_frame_too_many_is_refused(a_frame: Maker) -> None:
    with pytest.raises(join.MissingFramesError, match=r"\[2\]"):
        join.collect([a_frame(0), a_frame(1), a_frame(2)], 2)


def test_the_animation_shows_each_frame_once(a_frame: Maker, tmp_path: Path) -> None:
    frames = join.collect([a_frame(number) for number in range(5)], 5)
    join.animate(frames, tmp_path / "zoom.png")
    with Image.open(tmp_path / "zoom.png") as picture:
        assert count_of(picture) == 5
        shown = []
        for number in range(5):
            picture.seek(number)
            shown.append(picture.convert("RGB").getpixel((0, 0)))
    assert shown == [(number, 0, 0) for number in range(5)]


def test_the_contact_sheet_tells_workers_apart(a_frame: Maker) -> None:
    frames = join.collect([a_frame(0, "agent-1"), a_frame(1, "agent-2"), a_frame(2, "agent-1", 2), a_frame(3)], 4)
    sheet = join.contact_sheet(frames)
    wide, high = sheet.size[0] // 2, sheet.size[1] // 2
    below = join.THUMBNAIL[1] + 8
    inks = [sheet.getpixel((left + wide - 12, top + below)) for top in (0, high) for left in (0, wide)]
    assert inks[0] == inks[2] == inks[3] != inks[1]


def test_the_program_reads_all_its_inputs(a_frame: Maker, tmp_path: Path) -> None:
    inputs = os.pathsep.join(str(a_frame(number)) for number in range(3))
    environment = {**os.environ, "FARMHAND_OUTPUT": str(tmp_path), "FARMHAND_INPUTS": inputs}
    program = [sys.executable, "-P", join.__file__, "--frames=3", "--animation=a.png", "--sheet=b.png"]
    subprocess.run(program, env=environment, capture_output=True, check=True)
    with Image.open(tmp_path / "a.png") as picture:
        assert count_of(picture) == 3
    with Image.open(tmp_path / "b.png") as sheet:
        assert sheet.size[0] > join.THUMBNAIL[0]


def test_very_many_inputs_come_in_a_file(a_frame: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directories = [a_frame(number) for number in range(3)]
    listed = tmp_path / "inputs.json"
    listed.write_text(json.dumps({"frame": [str(path) for path in directories]}))
    monkeypatch.setenv("FARMHAND_INPUTS_FILE", str(listed))
    assert join.input_directories() == directories


def test_the_program_ends_in_one_line_when_a_frame_is_missing(a_frame: Maker, tmp_path: Path) -> None:
    environment = {**os.environ, "FARMHAND_OUTPUT": str(tmp_path), "FARMHAND_INPUTS": str(a_frame(0))}
    program = [sys.executable, "-P", join.__file__, "--frames=2"]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["each of 2 frames should be there once; not so: [1]"]
