"""`copy-file`, `move-directory` and `make-directory`: what every farm does with files, in a small program of ours.

It runs as a process like any other (`files_child.py`), so a copy that hangs on a dead file server holds up nothing but
its task, and can be killed.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from worker_agent.lines import Failure, Said
from worker_agent.runners.base import CommandError, Parameters, text
from worker_agent.runners.translation import Call, Place, Translation

CHILD: Final = Path(__file__).with_name("files_child.py")


def copy_file(parameters: Parameters, place: Place) -> Call:
    """`source`, `destination`; optional `overwrite`."""
    source, destination = _path(parameters, "source", place), _path(parameters, "destination", place)
    overwrite = parameters.get("overwrite", False)
    if not isinstance(overwrite, bool):
        raise CommandError("parameter 'overwrite' must be true or false")
    mode = "overwrite" if overwrite else "keep"
    return _call("copy-file", source, destination, words=[*_attempt(place), str(source), str(destination), mode])


def move_directory(parameters: Parameters, place: Place) -> Call:
    """`source`, `destination`."""
    source, destination = _path(parameters, "source", place), _path(parameters, "destination", place)
    return _call("move-directory", source, destination, words=[*_attempt(place), str(source), str(destination)])


def make_directory(parameters: Parameters, place: Place) -> Call:
    """`path`."""
    path = _path(parameters, "path", place)
    return _call("make-directory", path)


def _path(parameters: Parameters, name: str, place: Place) -> Path:
    """An absolute path, or one below the attempt's directory."""
    value = text(parameters, name)
    if not value or "\0" in value:
        raise CommandError(f"parameter {name!r} must be a path")
    return place.directory / value


def _attempt(place: Place) -> list[str]:
    return [str(place.task), str(place.attempt)]


def _call(command: str, *paths: Path, words: Sequence[str] | None = None) -> Call:
    """Apart from the task's environment and from installed packages."""
    arguments = [str(path) for path in paths] if words is None else words
    return Call(argv=[sys.executable, "-I", "-S", str(CHILD), command, *arguments], read=_read, paths=paths)


def _read(line: str) -> Iterable[Said]:
    word, _, rest = line.partition(": ")
    if word == "refused":
        yield Failure(rest.strip())


def _translation(name: str, translate: Callable[[Parameters, Place], Call], *known: str) -> Translation:
    return Translation(name, translate, program=sys.executable, known=known, trusted=True)


TRANSLATIONS: Final = (
    _translation("copy-file", copy_file, "source", "destination", "overwrite"),
    _translation("move-directory", move_directory, "source", "destination"),
    _translation("make-directory", make_directory, "path"),
)
