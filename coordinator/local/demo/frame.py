"""The program of one frame: a piece of the Mandelbrot set, deeper with each frame, as a PNG.

An ordinary program that knows nothing of farms, but for two customs: it writes into the directory named by
FARMHAND_OUTPUT, and says how far it is in lines `::progress DONE/TOTAL words`.
"""

import argparse
import itertools
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

WIDTH: Final = 640
HEIGHT: Final = 360
#: A spiral in the valley of the sea horses; the zoom ends there.
CENTER: Final = complex(-0.743643887037151, 0.131825904205330)
FIRST_SPAN: Final = 3.6
LAST_SPAN: Final = 4e-5
BANDS: Final = 20
_ESCAPED: Final = 1e4
#: Looking at each step costs as much as the step; the first few are looked at one by one.
_LOOK_EVERY: Final = 4
#: Long enough to feel who else is busy on this machine.
_MEASURE_S: Final = 0.3

Reals = NDArray[np.float64]
Pixels = NDArray[np.uint8]


def span(frame: int, frames: int) -> float:
    """How wide a piece of the plane *frame* (0 to *frames* - 1) shows: fast at first, gently at the end."""
    depth = 1 - (1 - frame / max(frames - 1, 1)) ** 1.4
    return float(FIRST_SPAN * (LAST_SPAN / FIRST_SPAN) ** depth)


def iterations(width: float) -> int:
    """How long to follow a point before it counts as inside: the narrower the piece, the longer."""
    return int(150 + 190 * np.log10(FIRST_SPAN / width))


def escape_times(points: NDArray[np.complex128], limit: int) -> Reals:
    """For each point the (smoothed) number of steps after which it flees, 0 for those that stay *limit* steps."""
    times = np.zeros(points.size)
    x, y2 = points.real, points.imag**2
    q = (x - 0.25) ** 2 + y2
    at_home = (q * (q + x - 0.25) <= 0.25 * y2) | ((x + 1) ** 2 + y2 <= 0.25**2)
    left = np.flatnonzero(~at_home)
    start = points[left]
    z = start.copy()
    for step in range(1, limit + 1):
        np.multiply(z, z, out=z)
        z += start
        if step > _LOOK_EVERY and step % _LOOK_EVERY:
            continue
        size = z.real**2 + z.imag**2
        fled = size > _ESCAPED
        if fled.any():
            times[left[fled]] = step + 1 - np.log2(np.log(size[fled]) / np.log(_ESCAPED))
            stay = ~fled
            left, start, z = left[stay], start[stay], z[stay]
        if not left.size:
            break
    return times


def colours(times: Reals) -> Reals:
    """Red, green and blue (0 to 255) of escape times: waves of colour, night inside."""
    wave = np.sqrt(np.maximum(times, 0.0))[..., None] * 0.55
    phase = np.array([0.05, 0.62, 1.35])
    shades = 127.5 - 127.5 * np.cos(wave + phase)
    return np.where(times[..., None] > 0, shades, np.array([8.0, 6.0, 20.0]))


def render(
    width: float,
    samples: int,
    size: tuple[int, int] = (WIDTH, HEIGHT),
    report: Callable[[int, int], None] = lambda _done, _total: None,
) -> Pixels:
    """The piece of the plane that is *width* wide, as rows of pixels, each the mean of *samples* x *samples* points."""
    columns, rows = size
    limit = iterations(width)
    step = width / (columns * samples)
    x = CENTER.real + (np.arange(columns * samples) + 0.5 - columns * samples / 2) * step
    picture = np.empty((rows, columns, 3), dtype=np.uint8)
    edges = [rows * band // BANDS for band in range(BANDS + 1)]
    for band, (top, bottom) in enumerate(itertools.pairwise(edges)):
        y = CENTER.imag - (np.arange(top * samples, bottom * samples) + 0.5 - rows * samples / 2) * step
        times = escape_times((x[None, :] + 1j * y[:, None]).ravel(), limit)
        shades = colours(times).reshape(bottom - top, samples, columns, samples, 3)
        picture[top:bottom] = shades.mean(axis=(1, 3)).round()
        report(band + 1, BANDS)
    return picture


def affordable_samples(seconds: float = 1.2) -> int:
    """As many samples as let this machine, busy as it is now, render an average frame in *seconds*: 1 to 4."""
    width = span(1, 3)
    x, y = (CENTER.real + width * np.linspace(-0.5, 0.5, 200), CENTER.imag + width * np.linspace(-0.3, 0.3, 100))
    points = (x[None, :] + 1j * y[:, None]).ravel()
    began, rounds = time.perf_counter(), 0
    while (spent := time.perf_counter() - began) < _MEASURE_S:
        escape_times(points, iterations(width))
        rounds += 1
    one = spent / rounds * WIDTH * HEIGHT / points.size
    return next((samples for samples in (4, 3, 2) if one * samples**2 <= seconds), 1)


def main() -> None:
    """Render one frame into FARMHAND_OUTPUT."""
    parser = argparse.ArgumentParser(description="Render one frame of a zoom into the Mandelbrot set.")
    parser.add_argument("--frame", type=int, required=True, help="which frame, from 0")
    parser.add_argument("--frames", type=int, required=True, help="how many frames the zoom has")
    parser.add_argument("--samples", type=int, default=2, help="each pixel is the mean of this many points squared")
    options = parser.parse_args()
    width = span(options.frame, options.frames)

    def report(done: int, total: int) -> None:
        sys.stdout.write(f"::progress {done}/{total} frame {options.frame}, {width:.2g} wide\n")
        sys.stdout.flush()

    pixels = render(width, options.samples, report=report)
    about = PngImagePlugin.PngInfo()
    about.add_text("worker", os.environ.get("FARMHAND_WORKER", "unknown"))
    about.add_text("attempt", os.environ.get("FARMHAND_ATTEMPT", "1"))
    path = Path(os.environ.get("FARMHAND_OUTPUT", ".")) / f"frame-{options.frame:04}.png"
    Image.fromarray(pixels).save(path, pnginfo=about)


if __name__ == "__main__":
    main()
