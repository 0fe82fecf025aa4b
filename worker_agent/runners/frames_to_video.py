"""`frames-to-video`: makes a film of pictures, with FFmpeg.

The pictures are those that a pattern finds, in the order of the numbers in their names. FFmpeg is given numbered links
to them, so that gaps, several directories and FFmpegs without patterns are no matter. It says how far it is by
`-progress`, in lines such as `frame=120` and `out_time_us=5000000`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from worker_agent.lines import Failure, Hidden, Output, Progress, Said
from worker_agent.runners.base import CommandError, Parameters, strings, text
from worker_agent.runners.translation import Call, Place, Translation

#: What every player takes; that codec wants even sides.
ARGS: Final = (
    *("-c:v", "libx264", "-crf", "20", "-pix_fmt", "yuv420p"),
    *("-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"),
)
_KEY: Final = re.compile(
    r"(frame|fps|stream_\w+|bitrate|total_size|out_time\w*|dup_frames|drop_frames|speed|progress)= *(\S*)\s*"
)


class Words:
    """Reads what FFmpeg says of its progress, of *total* pictures; that is no log."""

    def __init__(self, total: int, name: str) -> None:
        self._total = total
        self._name = name
        self._frame = 0

    def __call__(self, line: str) -> Iterable[Said]:
        """What *line* says."""
        found = _KEY.fullmatch(line)
        if found is None:
            # At this level of words FFmpeg says nothing but what is wrong; the last line sums it up.
            yield Failure(line.strip())
            return
        yield Hidden()
        key, value = found[1], found[2]
        if key == "frame" and value.isdecimal():
            self._frame = int(value)
        elif key == "out_time_us" and value.isdecimal():
            yield Progress(self._frame, self._total, f"{int(value) / 1e6:.1f} s of film")
        elif (key, value) == ("progress", "end"):
            yield Progress(self._total, self._total)
            yield Output(self._name)


def translate(parameters: Parameters, place: Place) -> Call:
    """`input` (a pattern) and `output`; optional `fps`, `executable`, `args_before`, `args`."""
    pattern, output = text(parameters, "input"), text(parameters, "output")
    if output.startswith("/") or ".." in Path(output).parts:
        raise CommandError("parameter 'output' must be a name below the attempt's directory, such as film.mp4")
    fps = parameters.get("fps", 24)
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:  # noqa: PLR2004
        raise CommandError("parameter 'fps' must be a number above 0")
    pictures = place.matching(pattern)
    if not pictures:
        where = "" if pattern.startswith("/") else " in the outputs of the tasks that this one waits for"
        raise CommandError(f"no file matches {pattern!r}{where}")
    suffixes = {picture.suffix for picture in pictures}
    if len(suffixes) > 1:
        raise CommandError(f"{pattern!r} finds files of several kinds ({', '.join(sorted(suffixes))}): narrow it")
    argv = [
        text(parameters, "executable", "ffmpeg"),
        *("-hide_banner", "-nostdin", "-nostats", "-y", "-loglevel", "warning", "-progress", "pipe:1"),
        *(strings(parameters, "args_before") if "args_before" in parameters else []),
        *("-framerate", f"{fps:g}", "-start_number", "1", "-i", _pattern(place.links, suffixes.pop())),
        *(strings(parameters, "args") if "args" in parameters else ARGS),
        str(place.directory / output),
    ]
    return Call(argv=argv, read=Words(len(pictures), output), steps=len(pictures), links=pictures, expects=[output])


def _pattern(links: Path, suffix: str) -> str:
    return str(links).replace("%", "%%") + f"/%06d{suffix}"


TRANSLATION: Final = Translation(
    "frames-to-video",
    translate,
    program="ffmpeg",
    known=("input", "output", "fps", "executable", "args_before", "args"),
)
