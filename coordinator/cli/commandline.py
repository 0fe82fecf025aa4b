"""The job that the words and options of `farmhand submit` make: one command, or an array of them."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from coordinator.cli.command import fail

if TYPE_CHECKING:
    from schemas.job import JobSpec

_NAMED: Final = re.compile(r"([A-Za-z0-9_-]+)=(.*)", re.DOTALL)
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT]?)(?:i?B)?", re.IGNORECASE)
_MIB: Final = {"": 1, "M": 1, "G": 1024, "T": 1024 * 1024}


def of_command(argv: list[str], one: Mapping[str, Any], overrides: Mapping[str, Any]) -> "JobSpec":
    """The job of one task, or of an array of them, that runs *argv*; *one* are the options for its task."""
    from pydantic import ValidationError  # noqa: PLC0415

    from schemas.base import UndecodableError, refuse_unstorable, undecodable  # noqa: PLC0415
    from schemas.job import JobSpec  # noqa: PLC0415

    name = overrides.get("name") or PurePosixPath(argv[0]).name[:200] or "command"
    parameters: dict[str, Any] = {"argv": argv}
    if "progress" in one:
        parameters["progress"] = one["progress"]
    step = {"name": "exec", "parameters": parameters} | ({"steps": one["steps"]} if "steps" in one else {})
    task: dict[str, Any] = {"name": name, "kind": one.get("kind", "exec"), "commands": [step]}
    task |= {field: one[field] for field in ("zone", "retries", "promote", "upload", "exclusive") if field in one}
    task |= {plural_: one[field] for field, plural_ in (("tag", "tags"), ("label", "labels")) if field in one}
    if resources := _resources(one):
        task["resources"] = resources
    if limits := _limits(one):
        task["limits"] = limits
    if "license" in one:
        task["licenses"] = dict(_license(word) for word in one["license"])
    if "env" in one:
        task["environment"] = dict(_pair(word, "--env") for word in one["env"])
    for word in one.get("secret", ()):
        variable, name = _pair(word, "--secret")
        task.setdefault("environment", {})[variable] = {"secret": name}
    if array := _array(one):
        task["array"] = array
    try:
        spec = JobSpec.model_validate({"name": name, **overrides, "tasks": [task]})
        refuse_unstorable(spec.model_dump_json().encode())
    except ValidationError as error:
        fail(str(undecodable(error)))
    except UndecodableError as error:
        fail(str(error))
    return spec


def _resources(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {field: one[field] for field in ("slots", "cpus", "gpus") if field in one}
    if "memory" in one:
        found["memory_mb"] = _mib(one["memory"], "--memory")
    return found


def _limits(one: Mapping[str, Any]) -> dict[str, Any]:
    found = {"nice": one["nice"]} if "nice" in one else {}
    if "max_memory" in one:
        found["memory_mb"] = _mib(one["max_memory"], "--max-memory")
    return found


def _mib(size: str, option: str) -> int:
    match = _SIZE.fullmatch(size.strip())
    if match is None:
        fail(f"{option} {size}: that is not a size such as 512M or 4G")
    return round(float(match[1]) * _MIB[match[2].upper()])


def failure_policy(word: str) -> str | dict[str, float]:
    """`--on-failure`: a word, or a share such as 10% or 0.1."""
    if word in ("continue", "fail_fast", "fail-fast"):
        return word.replace("-", "_")
    number, percent = (word[:-1], 100.0) if word.endswith("%") else (word, 1.0)
    try:
        share = float(number) / percent
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        fail(f"--on-failure {word}: write continue, fail_fast, or a share of the tasks such as 10% or 0.1")
    return {"share": share}


def _license(word: str) -> tuple[str, int]:
    """`--license`: a name, or a name and how many."""
    name, equals, count = word.partition("=")
    if not name or (equals and not (count.isascii() and count.isdecimal())):
        fail(f"--license {word}: write NAME or NAME=N")
    return name, int(count) if equals else 1


def _pair(word: str, option: str) -> tuple[str, str]:
    name, equals, value = word.partition("=")
    if not equals or not name:
        fail(f"{option} {word}: write NAME=VALUE")
    return name, value


def _array(one: Mapping[str, Any]) -> dict[str, Any] | None:
    if "param" in one and "count" in one:
        fail("--count and --param do not go together: --param makes a task for each value")
    if "count" in one:
        return {"count": one["count"]}
    if "param" in one:
        return {"values": values(one["param"])}
    return None


def values(words: Sequence[str]) -> list[Any]:
    """One value for each combination of the parameters in *words*, or for each item of a file."""
    named: dict[str, list[str]] = {}
    for word in words:
        match = _NAMED.fullmatch(word)
        if match is None:
            if len(words) > 1:
                fail(f"--param {word}: a file goes alone; write the others as NAME=V1,V2")
            return _file(Path(word))
        if match[1] in named:
            fail(f"--param {match[1]} is given twice")
        named[match[1]] = match[2].split(",")
    return [dict(zip(named, combination, strict=True)) for combination in product(*named.values())]


def _file(path: Path) -> list[Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        fail(f"--param {path}: {error.strerror}; write a file's name, or NAME=V1,V2")
    except UnicodeDecodeError:
        fail(f"--param {path}: not UTF-8 text")
    found: Any
    if path.suffix == ".json":
        try:
            found = json.loads(text)
        except ValueError as error:
            fail(f"--param {path}: {error}")
    elif path.suffix == ".csv":
        found = list(csv.DictReader(text.splitlines()))
    else:
        found = [line for line in text.splitlines() if line.strip()]
    if not isinstance(found, list) or not found:
        fail(f"--param {path}: holds no list of values")
    return list(found)
