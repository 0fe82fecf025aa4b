"""Translations are functions: what a command means, and how the program's words are read, without starting anything."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker_agent.lines import Failure, Hidden, Output, Progress
from worker_agent.runners import blender, files, frames_to_video
from worker_agent.runners.base import CommandError
from worker_agent.runners.program import Rules
from worker_agent.runners.registry import find_runners
from worker_agent.runners.translation import Call, Place, TranslatedRunner, Translation


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for name in ("here", "in-1", "in-2"):
        (tmp_path / name).mkdir()
    (tmp_path / "here" / "shot.blend").touch()
    return Place(7, 2, tmp_path / "here", [tmp_path / "in-1", tmp_path / "in-2"], tmp_path / "links")


# --- blender-render ----------------------------------------------------------------------------------------


def test_a_render_is_blenders_arguments_in_the_order_in_which_they_work(place: Place) -> None:
    call = blender.translate(
        {
            "file": "shot.blend",
            "frames": "1-3, 20",
            "format": "PNG",
            "scene": "Main",
            "args_before": ["--factory-startup"],
            "args": ["--engine", "CYCLES"],
        },
        place,
    )
    here = place.directory
    assert call.argv == [
        *("blender", "--background", "--factory-startup", f"{here}/shot.blend", "--scene", "Main"),
        *("--render-output", f"{here}/frame-######", "--render-format", "PNG", "--engine", "CYCLES"),
        *("--render-frame", "1..3,20"),
    ]
    assert call.steps == 4
    assert call.expects == ["frame-000001", "frame-000002", "frame-000003", "frame-000020"]


def test_blenders_words_are_progress_and_pictures(place: Place) -> None:
    read = blender.Words([5, 6, 20], place.directory)
    assert list(read("Read blend: /farm/shot.blend")) == []
    assert list(read("Fra:6 Mem:12.50M (Peak 14.00M) | Time:00:00.41 | Scene, ViewLayer | Sample 16/128")) == [
        Progress(1, 3, "frame 6, sample 16 of 128")
    ]
    assert list(read(f"Saved: '{place.directory}/frame-000006.png'")) == [Progress(2, 3), Output("frame-000006.png")]
    assert list(read("Fra: 20 Mem:12M")) == [Progress(2, 3, "frame 20")]
    assert list(read("Saved: '/elsewhere/frame-000020.png'")) == [Progress(3, 3)]
    assert list(read("Error: Cannot read file")) == [Failure("Error: Cannot read file")]


@given(st.lists(st.tuples(st.integers(0, 9000), st.integers(0, 20)), min_size=1, max_size=8))
def test_frames_come_back_as_they_were_written(ranges: list[tuple[int, int]]) -> None:
    wanted = [(first, first + more) for first, more in ranges]
    words = ",".join(f"{first}-{last}" if first != last else str(first) for first, last in wanted)
    assert blender.frames(words) == wanted


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20))
def test_progress_never_goes_back_while_frames_are_rendered_in_their_order(numbers: list[int]) -> None:
    read = blender.Words(numbers, Path("/farm/1/1"))
    done = []
    for number in numbers:
        for line in (f"Fra:{number} Mem:1M", f"Saved: '/farm/1/1/frame-{number}.png'"):
            done += [said.done for said in read(line) if isinstance(said, Progress)]
    assert done == sorted(done)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"frames": "1..10"}, "must look like 1-10,20"),
        ({"frames": "10-1"}, "begins after its end"),
        ({"frames": "1-201"}, "more than the 200 files"),
        ({"output": "/farm/x"}, "below the attempt's directory"),
        ({"output": "../x"}, "below the attempt's directory"),
        ({"output": "a#-b#"}, "below the attempt's directory"),
        ({"format": "png; rm"}, "one of Blender's"),
        ({"file": "missing.blend"}, "there is no file"),
    ],
)
def test_a_render_that_cannot_be_meant_is_refused(place: Place, wrong: dict[str, str], words: str) -> None:
    with pytest.raises(CommandError, match=words):
        blender.translate({"file": "shot.blend", "frames": "1"} | wrong, place)


# --- frames-to-video ---------------------------------------------------------------------------------------


def test_a_film_is_made_of_the_inputs_pictures_in_the_order_of_their_numbers(place: Place) -> None:
    for directory, name in ((0, "frame-2.png"), (1, "frame-10.png"), (0, "frame-1.png"), (0, "notes.txt")):
        (place.inputs[directory] / name).touch()
    call = frames_to_video.translate({"input": "*.png", "output": "film.mp4", "fps": 25}, place)
    assert [path.name for path in call.links] == ["frame-1.png", "frame-2.png", "frame-10.png"]
    assert call.argv == [
        *("ffmpeg", "-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "warning", "-progress", "pipe:1"),
        *("-framerate", "25", "-start_number", "1", "-i", f"{place.links}/%06d.png"),
        *frames_to_video.ARGS,
        f"{place.directory}/film.mp4",
    ]
    assert (call.steps, call.expects) == (3, ["film.mp4"])


def test_ffmpegs_words_are_progress_and_no_log() -> None:
    read = frames_to_video.Words(48, "film.mp4")
    assert list(read("frame=24\n")) == [Hidden()]
    assert list(read("out_time_us=1000000\n")) == [Hidden(), Progress(24, 48, "1.0 s of film")]
    assert list(read("out_time_us=N/A\n")) == [Hidden()]
    assert list(read("progress=continue\n")) == [Hidden()]
    assert list(read("progress=end\n")) == [Hidden(), Progress(48, 48), Output("film.mp4")]
    assert list(read("[png @ 0x55] inflate returned error -3\n")) == [Failure("[png @ 0x55] inflate returned error -3")]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"input": "*.exr"}, "no file matches"),
        ({"input": "/nowhere/*.png"}, "no file matches"),
        ({"input": "*"}, "several kinds"),
        ({"input": ""}, "not a pattern"),
        ({"output": "/film.mp4"}, "below the attempt's directory"),
        ({"fps": 0}, "number above 0"),
        ({"fps": True}, "number above 0"),
    ],
)
def test_a_film_that_cannot_be_meant_is_refused(place: Place, wrong: dict[str, str], words: str) -> None:
    (place.inputs[0] / "a.png").touch()
    (place.inputs[0] / "a.jpg").touch()
    with pytest.raises(CommandError, match=words):
        frames_to_video.translate({"input": "*.png", "output": "film.mp4"} | wrong, place)


# --- files and rules ---------------------------------------------------------------------------------------


def test_a_path_is_absolute_or_below_the_attempts_directory(place: Place) -> None:
    call = files.copy_file({"source": "a.txt", "destination": "/farm/b.txt"}, place)
    assert list(call.paths) == [place.directory / "a.txt", Path("/farm/b.txt")]
    assert call.argv[4:] == ["copy-file", "7", "2", f"{place.directory}/a.txt", "/farm/b.txt", "keep"]


def test_what_is_not_below_a_root_is_refused_whatever_way_it_is_written(tmp_path: Path) -> None:
    own, root, outside = tmp_path / "own", tmp_path / "root", tmp_path / "outside"
    for directory in (own, root, outside):
        directory.mkdir()
    (root / "link").symlink_to(outside)
    rules = Rules(roots=[root])
    for path in (own / "a", root, root / "new" / "deep"):
        rules.check_place(path, own)
    for path in (outside, root / ".." / "outside", root / "link" / "x", own / ".." / "x", Path("/etc/passwd")):
        with pytest.raises(CommandError, match="'roots'"):
            rules.check_place(path, own)
    Rules().check_place(Path("/etc"), own)


def test_a_working_directory_is_made_below_the_attempts_or_below_a_root(tmp_path: Path) -> None:
    own, root = tmp_path / "own", tmp_path / "root"
    own.mkdir()
    rules = Rules(roots=[root])
    assert rules.directory(None, own) == own
    assert rules.directory("a/b", own).is_dir()
    assert rules.directory(str(root / "shot"), own).is_dir()
    with pytest.raises(CommandError, match="below the attempt's directory"):
        rules.directory("../x", own)
    with pytest.raises(CommandError, match="'roots'"):
        rules.directory(str(tmp_path / "elsewhere"), own)
    (own / "file").touch()
    with pytest.raises(CommandError, match="cannot make the directory"):
        rules.directory("file/x", own)


def test_a_worker_offers_only_commands_whose_program_it_has(tmp_path: Path) -> None:
    assert find_runners(rules=Rules(base={"PATH": str(tmp_path)})).offered == [
        *("copy-file", "echo", "exec", "make-directory", "move-directory", "python", "sleep")
    ]
    program = tmp_path / "blender-4.2"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    rules = Rules(programs={"blender": str(program)}, base={"PATH": ""})
    assert "blender-render" in find_runners(rules=rules).offered


def test_a_program_that_the_operator_has_placed_may_be_started_and_others_not() -> None:
    rules = Rules(allowed=["ffmpeg"], programs={"blender": "/opt/blender"}, base={"PATH": "/bin"})
    rules.check_program("blender", "/opt/blender", {"PATH": "/bin"})
    rules.check_program("ffmpeg", "/bin/ffmpeg", {"PATH": "/bin"})
    with pytest.raises(CommandError, match="'executables'"):
        rules.check_program("/opt/blender", "/opt/blender", {"PATH": "/bin"})
    with pytest.raises(CommandError, match="may not set LD_PRELOAD"):
        rules.check_program("ffmpeg", "/bin/ffmpeg", {"PATH": "/bin", "LD_PRELOAD": "x.so"})


def test_another_packages_translation_is_a_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    convert = Translation("convert", lambda _, __: Call(argv=["sh", "-c", "true"]), program="sh", known=())

    class Entry:
        name = "convert"

        def load(self) -> Translation:
            return convert

    monkeypatch.setattr("worker_agent.runners.registry.entry_points", lambda **_: [Entry()])
    assert isinstance(find_runners().lasting["convert"], TranslatedRunner)
