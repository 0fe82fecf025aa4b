"""The frames: true pieces of the Mandelbrot set, each deeper than the one before."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from coordinator.local.demo import frame


def steps_until_fled(point: complex, limit: int) -> int:
    """The definition, step by step."""
    z = 0j
    for step in range(limit):
        if abs(z) > 100:
            return step
        z = z * z + point
    return 0


@given(st.complex_numbers(max_magnitude=2))
def test_a_point_flees_exactly_when_the_definition_says_so(point: complex) -> None:
    times = frame.escape_times(np.array([point]), 200)
    assert (times[0] > 0) == (steps_until_fled(point, 198) > 0) or steps_until_fled(point, 210) > 190


@given(st.complex_numbers(min_magnitude=0.5, max_magnitude=2))
def test_the_smooth_count_stays_near_the_count_of_steps(point: complex) -> None:
    steps = steps_until_fled(point, 150)
    if steps:
        assert abs(frame.escape_times(np.array([point]), 200)[0] - steps) < 2


def test_points_at_home_are_known_without_following_them() -> None:
    assert frame.escape_times(np.array([0j, -1 + 0j, 0.2 + 0.1j]), 10).tolist() == [0, 0, 0]


@given(st.integers(min_value=2, max_value=200))
def test_each_frame_is_deeper_than_the_one_before(frames: int) -> None:
    widths = [frame.span(number, frames) for number in range(frames)]
    assert widths[0] == frame.FIRST_SPAN
    assert np.isclose(widths[-1], frame.LAST_SPAN)
    assert all(wide > narrow for wide, narrow in pairwise(widths))


def test_a_zoom_of_one_frame_shows_the_whole_set() -> None:
    assert frame.span(0, 1) == frame.FIRST_SPAN


def test_bands_leave_no_seams() -> None:
    size = (24, 41)
    width = frame.span(1, 3)
    picture = frame.render(width, 1, size)
    step = width / size[0]
    x = frame.CENTER.real + (np.arange(size[0]) + 0.5 - size[0] / 2) * step
    y = frame.CENTER.imag - (np.arange(size[1]) + 0.5 - size[1] / 2) * step
    at_once = frame.escape_times((x[None, :] + 1j * y[:, None]).ravel(), frame.iterations(width))
    assert np.array_equal(picture, frame.colours(at_once).round().astype(np.uint8).reshape(picture.shape))


def test_it_says_how_far_it_is() -> None:
    said: list[tuple[int, int]] = []
    frame.render(3.0, 1, (4, 40), lambda done, total: said.append((done, total)))
    assert said == [(done, frame.BANDS) for done in range(1, frame.BANDS + 1)]


def test_the_program_writes_its_frame_and_who_made_it(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "FARMHAND_OUTPUT": str(tmp_path),
        "FARMHAND_WORKER": "agent-7",
        "FARMHAND_ATTEMPT": "2",
    }
    program = [sys.executable, "-P", frame.__file__, "--frame=0", "--frames=5", "--samples=1"]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=True)
    with Image.open(tmp_path / "frame-0000.png") as picture:
        assert picture.size == (frame.WIDTH, frame.HEIGHT)
        assert picture.info["worker"] == "agent-7"
        assert picture.info["attempt"] == "2"
    lines = done.stdout.splitlines()
    assert len(lines) == frame.BANDS
    assert lines[-1].startswith("::progress 20/20 ")
