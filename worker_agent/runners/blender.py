"""`blender-render`: renders frames of a Blender file into the attempt's directory.

What Blender prints says how far it is: `Fra:12 ...` while it works on frame 12, `Saved: '/path/frame-000012.png'` for
each file that it has written. Its arguments work in their order, so the frames come last.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from worker_agent.lines import Failure, Output, Progress, Said
from worker_agent.outputs import MOST_FILES
from worker_agent.runners.base import CommandError, Parameters, strings, text
from worker_agent.runners.translation import Call, Place, Translation

_RANGE: Final = re.compile(r"(\d{1,7})(?:-(\d{1,7}))?", re.ASCII)
_FRAME: Final = re.compile(r"\bFra: ?(\d+)\b", re.ASCII)
_SAMPLE: Final = re.compile(r"\b(?:Sample|Rendered|Rendering) (\d+) ?/ ?(\d+)\b", re.ASCII)
_HASHES: Final = re.compile(r"#+")
_SAVED: Final = re.compile(r"\bSaved: '(.+)'")
_FORMAT: Final = re.compile(r"[A-Z][A-Z0-9_]{1,31}", re.ASCII)


def frames(words: str) -> list[tuple[int, int]]:
    """The ranges in `1-10,20`. Raises `CommandError` with what is wrong."""
    ranges = []
    for word in words.replace(" ", "").split(","):
        found = _RANGE.fullmatch(word)
        if found is None:
            raise CommandError(f"parameter 'frames' must look like 1-10,20 and not {words[:100]!r}")
        first, last = int(found[1]), int(found[2] or found[1])
        if first > last:
            raise CommandError(f"parameter 'frames': {word} begins after its end")
        ranges.append((first, last))
    if sum(last - first + 1 for first, last in ranges) > MOST_FILES:
        raise CommandError(f"parameter 'frames' means more than the {MOST_FILES} files of one task: make it an array")
    return ranges


class Words:
    """Reads what Blender prints while it renders *numbers*, in their order, into *directory*."""

    def __init__(self, numbers: Sequence[int], directory: Path) -> None:
        self._numbers = numbers
        self._directory = directory
        self._at = 0
        self._done = 0

    def __call__(self, line: str) -> Iterable[Said]:
        """What *line* says."""
        if found := _SAVED.search(line):
            return self._saved(found[1])
        if found := _FRAME.search(line):
            return self._works_on(int(found[1]), _SAMPLE.search(line))
        return (Failure(line.strip()),) if line.startswith("Error: ") else ()

    def _works_on(self, frame: int, sample: re.Match[str] | None) -> Iterable[Said]:
        # Frames come in the order of the list; one may be there twice.
        after = max(self._at, self._done)
        if frame in self._numbers[after:]:
            self._at = self._done = self._numbers.index(frame, after)
        words = f"frame {frame}" + (f", sample {sample[1]} of {sample[2]}" if sample else "")
        yield Progress(self._done, len(self._numbers), words)

    def _saved(self, name: str) -> Iterable[Said]:
        self._done = self._at + 1
        yield Progress(self._done, len(self._numbers))
        path = Path(name)
        if path.is_relative_to(self._directory):
            yield Output(path.relative_to(self._directory).as_posix())


def translate(parameters: Parameters, place: Place) -> Call:
    """`file` and `frames`; optional `format`, `output`, `scene`, `executable`, `args_before`, `args`."""
    ranges = frames(_frames(parameters))
    output = _output(parameters)
    argv = [
        text(parameters, "executable", "blender"),
        "--background",
        *(strings(parameters, "args_before") if "args_before" in parameters else []),
        str(place.file(text(parameters, "file"))),
        *(["--scene", text(parameters, "scene")] if "scene" in parameters else []),
        *("--render-output", str(place.directory / output)),
        *(["--render-format", _format(parameters)] if "format" in parameters else []),
        *(strings(parameters, "args") if "args" in parameters else []),
        *("--render-frame", ",".join(str(a) if a == b else f"{a}..{b}" for a, b in ranges)),
    ]
    numbers = [frame for first, last in ranges for frame in range(first, last + 1)]
    expected = [_HASHES.sub(lambda hashes: f"{number:0{len(hashes[0])}}", output) for number in numbers]  # noqa: B023
    return Call(argv=argv, read=Words(numbers, place.directory), steps=len(numbers), expects=expected)


def _output(parameters: Parameters) -> str:
    """Where to write: Blender puts the frame's number in place of the #s, or adds four digits."""
    output = text(parameters, "output", "frame-######")
    if output.startswith("/") or ".." in Path(output).parts or len(_HASHES.findall(output)) > 1:
        raise CommandError("parameter 'output' must be a name below the attempt's directory, such as frame-######")
    return output if "#" in output else output + "####"


def _frames(parameters: Parameters) -> str:
    """A number, as an array's `{{value}}` is one, means that frame."""
    value = parameters.get("frames")
    return str(value) if type(value) is int else text(parameters, "frames")


def _format(parameters: Parameters) -> str:
    name = text(parameters, "format")
    if _FORMAT.fullmatch(name) is None:
        raise CommandError("parameter 'format' must be one of Blender's, such as PNG, JPEG or OPEN_EXR")
    return name


TRANSLATION: Final = Translation(
    "blender-render",
    translate,
    program="blender",
    known=("file", "frames", "format", "output", "scene", "executable", "args_before", "args"),
)
