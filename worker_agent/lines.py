"""What a program says about itself on its standard output: the line protocol, documented in docs/runners.md.

    ::progress 3/10 painting the sky
    ::activity loading the scene
    ::result {"answer": 42}
    ::output preview.png
    ::spawn {"name": "tile-1", "kind": "exec", "commands": [...]}

Every other line is log. A program that prints progress in its own words is read by a `LineReader`: one made of a
regular expression with a group `done` and perhaps a group `total` (`by_pattern`), or one that knows the program.
"""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from schemas.base import UndecodableError, refuse_unstorable
from schemas.patterns import compile_harmless
from worker_agent.logs import storable

#: What a regular expression is shown of a line.
SEARCHED: Final = 300
_PROGRESS: Final = re.compile(r"(\d{1,18})\s*(?:/\s*(\d{1,18}))?(?:\s+(.*))?\s*$", re.ASCII)
_ACTIVITY_LENGTH: Final = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """Steps done, of how many (when said), and what it is doing (when said)."""

    done: int | None
    total: int | None = None
    activity: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The task's result."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Output:
    """A file of the attempt's directory that is worth showing before the end."""

    name: str


@dataclass(frozen=True, slots=True)
class Spawn:
    """A task to be added to the job, as JSON; None when it is none."""

    spec: JsonValue


@dataclass(frozen=True, slots=True)
class Hidden:
    """The line is meant for us alone, and is no log."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the program will fail, if it does: the last one counts."""

    words: str


Said = Progress | Result | Output | Spawn | Hidden | Failure
#: Understands a program's own words: what a line (its beginning, as text) says; nothing for most.
LineReader = Callable[[str], Iterable[Said]]


class LineError(ValueError):
    """A protocol line that cannot be understood; it goes to the log with these words."""


def read_line(line: bytes) -> Said | None:  # noqa: PLR0911 - one for each word
    """What *line* (without its end) says by the protocol; None when it is log. Raises `LineError`."""
    if not line.startswith(b"::"):
        return None
    word, _, rest = storable(line[2:]).strip().partition(" ")
    match word:
        case "progress":
            found = _PROGRESS.match(rest)
            if found is None:
                raise LineError("::progress wants DONE or DONE/TOTAL, then words")
            done, total, words = found.groups()
            return Progress(int(done), int(total) if total else None, words[:_ACTIVITY_LENGTH] if words else None)
        case "activity":
            return Progress(None, None, rest[:_ACTIVITY_LENGTH])
        case "result":
            return Result(read_result(rest.encode()))
        case "spawn":
            try:
                return Spawn(read_result(rest.encode()))
            except LineError:
                return Spawn(None)
        case "output" if rest:
            return Output(rest)
        case _:
            return None


def read_result(raw: bytes) -> JsonValue:
    """JSON that can be stored. Raises `LineError` with what is wrong."""
    try:
        refuse_unstorable(raw)
        value: JsonValue = json.loads(raw)
        json.dumps(value, ensure_ascii=False).encode()
    except UndecodableError as error:
        raise LineError(f"the result {error.detail}") from None
    except (ValueError, RecursionError):
        raise LineError("the result is not JSON") from None
    return value


def compile_pattern(pattern: str) -> re.Pattern[str]:
    """A progress expression that cannot take for ever on any line. Raises ValueError with what is wrong with it."""
    compiled = compile_harmless(pattern, "the progress expression")
    if "done" not in compiled.groupindex:
        raise ValueError("the progress expression needs a group (?P<done>...)")
    return compiled


def by_pattern(pattern: re.Pattern[str]) -> LineReader:
    """Reads the progress that *pattern* finds in a line."""

    def read(line: str) -> Iterable[Said]:
        found = pattern.search(line[:SEARCHED])
        if found is None:
            return ()
        groups = found.groupdict()
        try:
            total = groups.get("total")
            return (Progress(int(float(groups["done"])), int(float(total)) if total else None),)
        except (TypeError, ValueError, OverflowError):
            return ()

    return read
