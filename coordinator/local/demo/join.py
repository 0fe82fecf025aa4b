"""The program of the last task: all frames into one moving picture and one contact sheet.

It reads the directories named in FARMHAND_INPUTS (those of the accepted attempts, nobody else's) and writes into
FARMHAND_OUTPUT. The sheet shows beneath each frame which worker made it, and at which attempt.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image, ImageDraw, ImageFont

THUMBNAIL: Final = (160, 90)
_CAPTION: Final = 16
_GAP: Final = 6
_NIGHT: Final = (16, 18, 24)
_RED: Final = (255, 60, 70)
#: One for each worker, in order of their names.
_INKS: Final = ((122, 162, 247), (158, 206, 106), (255, 158, 100), (187, 154, 247), (125, 207, 255), (247, 118, 142))


@dataclass(frozen=True)
class Frame:
    """One frame and who made it."""

    number: int
    picture: Image.Image
    worker: str
    attempt: str


class MissingFramesError(Exception):
    """The inputs do not hold each frame exactly once."""


def collect(directories: Sequence[Path], frames: int) -> list[Frame]:
    """All *frames* frames in order.

    Raises:
        MissingFramesError: one is missing, or there twice.
    """
    found = [read(path) for directory in directories for path in sorted(directory.glob("frame-*.png"))]
    found.sort(key=lambda frame: frame.number)
    numbers = [frame.number for frame in found]
    if numbers != list(range(frames)):
        wrong = sorted({n for n in [*range(frames), *numbers] if numbers.count(n) != 1 or n >= frames})
        raise MissingFramesError(f"each of {frames} frames should be there once; not so: {wrong}")
    return found


def read(path: Path) -> Frame:
    """The frame in *path*, with what its program wrote about itself."""
    with Image.open(path) as image:
        image.load()
        words = {key: str(value) for key, value in image.info.items()}
        picture = image.convert("RGB")
    number = int(path.stem.rpartition("-")[2])
    return Frame(number, picture, words.get("worker", "unknown"), words.get("attempt", "1"))


def animate(frames: Sequence[Frame], path: Path, *, frame_ms: int = 80, last_ms: int = 1500) -> None:
    """Write *frames* as an animated PNG that rests on its last picture and starts again."""
    durations = [frame_ms] * (len(frames) - 1) + [last_ms]
    first, *rest = (frame.picture for frame in frames)
    first.save(path, format="PNG", save_all=True, append_images=rest, duration=durations, loop=0, compress_level=4)


def contact_sheet(frames: Sequence[Frame]) -> Image.Image:
    """All *frames* small, side by side, over bars in their workers' colours; framed red when done again."""
    columns = min(len(frames), max(1, math.ceil(math.sqrt(len(frames)))))
    rows = math.ceil(len(frames) / columns)
    wide, high = THUMBNAIL[0] + _GAP, THUMBNAIL[1] + _CAPTION + _GAP
    sheet = Image.new("RGB", (columns * wide + _GAP, rows * high + _GAP), _NIGHT)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    workers = sorted({frame.worker for frame in frames})
    for place, frame in enumerate(frames):
        left, top = _GAP + place % columns * wide, _GAP + place // columns * high
        below = top + THUMBNAIL[1]
        ink = _INKS[workers.index(frame.worker) % len(_INKS)]
        sheet.paste(frame.picture.resize(THUMBNAIL, Image.Resampling.LANCZOS), (left, top))
        if frame.attempt != "1":
            draw.rectangle((left - 2, top - 2, left + THUMBNAIL[0] + 1, below + _CAPTION + 1), outline=_RED, width=2)
        draw.rectangle((left, below, left + THUMBNAIL[0] - 1, below + _CAPTION - 1), fill=ink)
        words = f"{frame.number}  {frame.worker}" + (f"  attempt {frame.attempt}" if frame.attempt != "1" else "")
        draw.text((left + 5, below + 1), words, fill=_NIGHT, font=font)
    return sheet


def input_directories() -> list[Path]:
    """The directories of the accepted attempts. Very many do not fit a variable: then a file names them."""
    if many := os.environ.get("FARMHAND_INPUTS_FILE"):
        named = json.loads(Path(many).read_text(encoding="utf-8"))
        return [Path(name) for names in named.values() for name in names]
    return [Path(name) for name in os.environ.get("FARMHAND_INPUTS", ".").split(os.pathsep) if name]


def say(line: str) -> None:
    """Print *line* at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Join the frames in FARMHAND_INPUTS into two pictures in FARMHAND_OUTPUT."""
    parser = argparse.ArgumentParser(description="Join frames into an animated PNG and a contact sheet.")
    parser.add_argument("--frames", type=int, required=True, help="how many frames there must be")
    parser.add_argument("--animation", default="zoom.png", help="the moving picture's name")
    parser.add_argument("--sheet", default="contact-sheet.png", help="the contact sheet's name")
    options = parser.parse_args()
    directories = input_directories()
    output = Path(os.environ.get("FARMHAND_OUTPUT", "."))
    try:
        frames = collect(directories, options.frames)
    except MissingFramesError as error:
        sys.exit(str(error))
    say(f"::progress 1/3 {len(frames)} frames read")
    contact_sheet(frames).save(output / options.sheet, optimize=True)
    say("::progress 2/3 contact sheet made")
    animate(frames, output / options.animation)
    say("::progress 3/3 frames joined")


if __name__ == "__main__":
    main()
