"""Job files, YAML or TOML: read, checked, and every fault told with its line.

Keys are those of a job as it is submitted (`schemas.job`). A job without a name is named after its file.
"""

import difflib
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from schemas.base import UndecodableError, refuse_unstorable
from schemas.job import Array, Dependency, FailAtShare, JobSpec, TaskSpec
from schemas.task import Command, Resources
from schemas.template import ParameterSpec

S = TypeVar("S", bound=BaseModel)
Path_ = tuple[str | int, ...]
Lines = Mapping[Path_, int]

_MOST_FAULTS: Final = 10
_LARGE: Final = 256 * 1024
_NAMED: Final = re.compile(r"(?:cycle: |task '|are named ')([^'>]*?)(?:'| ->)")
_IN_LINE: Final = re.compile(r"\(at line (\d+)|\(at end of document\)")
#: What stands under a key, so that a mistyped field can be told from its neighbours.
_MODELS: Final[Mapping[str, type[BaseModel]]] = {
    "tasks": TaskSpec,
    "commands": Command,
    "array": Array,
    "resources": Resources,
    "after": Dependency,
    "on_failure": FailAtShare,
    "parameters": ParameterSpec,
}


class JobFileError(Exception):
    """The file is not a job: one line a fault, `file:line: what is wrong`."""


if TYPE_CHECKING:
    _Fast = yaml.SafeLoader
else:
    _Fast = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # not in every build


class _Loader(yaml.SafeLoader):
    """YAML as JSON means it: dates stay texts."""


class _FastLoader(_Fast):
    """The same in C, for large files; its faults are worded less well."""


_Loader.yaml_implicit_resolvers = _FastLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(path: Path, overrides: Mapping[str, Any]) -> tuple[JobSpec, Lines]:
    """The job in the file at *path* (`-`: YAML on standard input), with *overrides* in place of its own top fields.

    Also the line of each field, for faults that only the coordinator finds.
    """
    return load_as(JobSpec, path, overrides)


def load_as(model: type[S], path: Path, overrides: Mapping[str, Any]) -> tuple[S, Lines]:
    """The same for what has another *model*."""
    text = _read(path)
    value, lines = _toml(path, text) if path.suffix == ".toml" else _yaml(path, text)
    if not isinstance(value, dict):
        raise JobFileError(f"{path}:1: a job is a mapping with name and tasks")
    value = {"name": "stdin" if str(path) == "-" else path.stem, **value, **overrides}
    try:
        spec = model.model_validate(value)
        refuse_unstorable(spec.model_dump_json().encode())
    except ValidationError as error:
        raise JobFileError("\n".join(_faults(path, error, value, lines, model))) from None
    except UndecodableError as error:
        raise JobFileError(at(path, lines, error.field, error.detail)) from None
    return spec, lines


def at(path: Path, lines: Lines, field: str, detail: str) -> str:
    """*detail* about the dotted *field*, with the line where it stands."""
    parts = tuple(int(part) if part.isdecimal() else part for part in field.split(".") if part)
    return f"{path}:{_line(lines, parts)}: {field}: {detail}" if field else f"{path}:1: {detail}"


def _read(path: Path) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise JobFileError(f"{path}: {error.strerror}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise JobFileError(f"{path}:{line}: not UTF-8 text") from None


def _toml(path: Path, text: str) -> tuple[Any, Lines]:
    try:
        return tomllib.loads(text), {}
    except tomllib.TOMLDecodeError as error:
        found = _IN_LINE.search(str(error))
        line = found[1] if found and found[1] else text.count("\n") + 1
        raise JobFileError(f"{path}:{line}: {_IN_LINE.split(str(error))[0].strip()}") from None


def _yaml(path: Path, text: str) -> tuple[Any, Lines]:
    lines: dict[Path_, int] = {}
    try:
        loader = (_FastLoader if len(text) > _LARGE else _Loader)(text)
        node = loader.get_single_node()
        if node is None:
            raise JobFileError(f"{path}:1: the file is empty")
        _note(path, node, (), lines, [])
        return loader.construct_document(node), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context or "not YAML"
        raise JobFileError(f"{path}:{mark.line + 1 if mark else 1}: {said}") from None
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise JobFileError(f"{path}:{line}: the character #x{ord(text[error.position]):04x} is not allowed") from None


def _note(path: Path, node: yaml.Node, place: Path_, lines: dict[Path_, int], above: list[yaml.Node]) -> None:
    """Remember where *node* and all below it stand; refuse keys given twice, and what holds itself."""
    lines.setdefault(place, node.start_mark.line + 1)
    if node in above:
        raise JobFileError(f"{path}:{node.start_mark.line + 1}: an alias of something that holds it")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            word = str(key.value)
            if word in seen and word != "<<":
                raise JobFileError(f"{path}:{key.start_mark.line + 1}: {word!r} is given twice")
            seen.add(word)
            lines[(*place, word)] = key.start_mark.line + 1
            _note(path, value, (*place, word), lines, [*above, node])
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*place, index)] = value.start_mark.line + 1
            _note(path, value, (*place, index), lines, [*above, node])


def _faults(
    path: Path, error: ValidationError, value: Mapping[str, Any], lines: Lines, whole: type[BaseModel]
) -> list[str]:
    faults = error.errors(include_url=False)
    told = []
    for fault in faults[:_MOST_FAULTS]:
        place: Path_ = fault["loc"]
        said = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            said = f"there is no such field{_suggestion(place, whole)}"
        if fault["type"] == "missing":
            said = "is missing"
        if not place and (named := _NAMED.search(said)):
            place = _place_of_task(value, named[1])
            told.append(f"{_where(path, lines, place)}: {said}")
            continue
        field = ".".join(str(part) for part in place)
        told.append(
            f"{_where(path, lines, place)}: {field}: {said}" if field else f"{_where(path, lines, place)}: {said}"
        )
    if len(faults) > _MOST_FAULTS:
        told.append(f"{path}: and {len(faults) - _MOST_FAULTS} more")
    return told


def _where(path: Path, lines: Lines, place: Sequence[str | int]) -> str:
    return f"{path}:{_line(lines, place)}" if lines else str(path)


def _line(lines: Lines, place: Sequence[str | int]) -> int:
    """The line of *place*, or of the nearest thing around it that has one."""
    for length in range(len(place), -1, -1):
        if (line := lines.get(tuple(place[:length]))) is not None:
            return line
    return 1


def _place_of_task(value: Mapping[str, Any], name: str) -> Path_:
    tasks = value.get("tasks")
    for index, task in enumerate(tasks if isinstance(tasks, list) else []):
        if isinstance(task, dict) and task.get("name") == name:
            return ("tasks", index)
    return ("tasks",)


def _suggestion(place: Sequence[str | int], whole: type[BaseModel]) -> str:
    *above, wrong = place
    around = [part for part in above if isinstance(part, str)]
    model = _MODELS.get(around[-1], whole) if around else whole
    close = difflib.get_close_matches(str(wrong), model.model_fields, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(model.model_fields)}"
