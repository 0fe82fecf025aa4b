"""Places in specifications: of array elements and of job templates.

An array's elements share one specification, in which `{{index}}`, `{{value}}` and `{{value.key}}` are filled in. A job
template has typed parameters, and `{{parameters.NAME}}` where their values go.
"""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

_PLACE: Final = re.compile(r"\{\{\s*(index|value(?:\.[A-Za-z0-9_-]+)*)\s*\}\}")


def element_name(name: str, index: int, value: Any) -> str:
    """The name of one element: filled in where the array's name has a place for it, else `name[index]`."""
    return fill_text(name, index, value) if "{{" in name else f"{name}[{index}]"


def fill_text(text: str, index: int, value: Any) -> str:
    """*text* with its places filled; always a text, also where one place is all of it."""
    return _PLACE.sub(lambda match: _text(_look_up(match.group(1), index, value)), text)


def fill(thing: Any, index: int, value: Any) -> Any:
    """*thing* (JSON) with its places filled. A text that is one place alone becomes the value itself."""
    if isinstance(thing, str):
        whole = _PLACE.fullmatch(thing)
        if whole:
            return _look_up(whole.group(1), index, value)
        return fill_text(thing, index, value)
    if isinstance(thing, list):
        return [fill(item, index, value) for item in thing]
    if isinstance(thing, dict):
        return {key: fill(item, index, value) for key, item in thing.items()}
    return thing


def _look_up(path: str, index: int, value: Any) -> Any:
    if path == "index":
        return index
    found = value
    for key in path.split(".")[1:]:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


# --- job templates -----------------------------------------------------------------------------------------

_PARAMETER: Final = re.compile(r"\{\{\s*parameters\.([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,19}")
_LONGEST: Final = 4000
_MAX_INT: Final = 2**63 - 1


class ParameterType(StrEnum):
    """What a parameter's value is."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CHOICE = "choice"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a template asks for. Without a default it must be given. Bounds are inclusive; `pattern` must match all of a
    text; `choices` are the values of a choice."""

    name: str
    type: ParameterType
    default: Any = None
    minimum: float | None = None
    maximum: float | None = None
    pattern: str | None = None
    choices: Sequence[Any] = ()


class ParameterError(ValueError):
    """A value that does not do; the message names the parameter."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"parameter {parameter!r} {detail}")
        self.parameter = parameter


def bind(parameters: Sequence[Parameter], given: Mapping[str, Any]) -> dict[str, Any]:
    """The value of each of *parameters*: what was *given*, as its type (also out of a text), or its default."""
    known = {one.name for one in parameters}
    for name in given:
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise ParameterError(name, f"does not exist; there are: {there}")
    values = {}
    for one in parameters:
        if one.name in given:
            values[one.name] = _checked(one, given[one.name])
        elif one.default is None:
            raise ParameterError(one.name, f"is required ({one.type})")
        else:
            values[one.name] = _checked(one, one.default)
    return values


def _checked(one: Parameter, value: Any) -> Any:
    typed: Any
    match one.type:
        case ParameterType.INTEGER:
            typed = _integer(one, value)
        case ParameterType.NUMBER:
            typed = _number(one, value)
        case ParameterType.BOOLEAN:
            typed = {"true": True, "false": False}.get(value) if isinstance(value, str) else value
            if not isinstance(typed, bool):
                raise ParameterError(one.name, f"must be true or false, not {_shown(value)}")
        case ParameterType.CHOICE:
            return _choice(one, value)
        case _:
            return _text_of(one, value)
    if one.minimum is not None and typed < one.minimum:
        raise ParameterError(one.name, f"must be at least {one.minimum:g}, not {typed}")
    if one.maximum is not None and typed > one.maximum:
        raise ParameterError(one.name, f"must be at most {one.maximum:g}, not {typed}")
    return typed


def _integer(one: Parameter, value: Any) -> int:
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ParameterError(one.name, f"must be a whole number, not {_shown(value)}")
    if not -_MAX_INT - 1 <= value <= _MAX_INT:
        raise ParameterError(one.name, "is beyond 64 bits")
    return value


def _number(one: Parameter, value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ParameterError(one.name, f"must be a number, not {_shown(value)}") from None
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ParameterError(one.name, f"must be a number, not {_shown(value)}")
    if not math.isfinite(value):
        raise ParameterError(one.name, "must be a finite number")
    return value


def _choice(one: Parameter, value: Any) -> Any:
    for choice in one.choices:
        if value == choice and isinstance(value, bool) is isinstance(choice, bool):
            return choice
    for choice in one.choices:
        if isinstance(value, str) and not isinstance(choice, str) and value == json.dumps(choice):
            return choice
    there = ", ".join(_shown(choice) for choice in one.choices)
    raise ParameterError(one.name, f"must be one of {there}, not {_shown(value)}")


def _text_of(one: Parameter, value: Any) -> str:
    if not isinstance(value, str):
        raise ParameterError(one.name, f"must be a text, not {_shown(value)}")
    if len(value) > _LONGEST:
        raise ParameterError(one.name, f"has {len(value)} characters, more than {_LONGEST}")
    if "{{" in value:
        raise ParameterError(one.name, "must not hold {{, which would be taken for a place")
    if one.type is ParameterType.PATH:
        if not value or not value.isprintable():
            raise ParameterError(one.name, f"must be a path, not {_shown(value)}")
        if ".." in value.split("/"):
            raise ParameterError(one.name, f"must be a path without .., not {_shown(value)}")
    if one.pattern is not None and re.fullmatch(one.pattern, value) is None:
        raise ParameterError(one.name, f"must match {one.pattern}, and {_shown(value)} does not")
    return value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"  # noqa: PLR2004


def fill_parameters(thing: Any, values: Mapping[str, Any]) -> Any:
    """*thing* (JSON) with its `{{parameters.NAME}}` filled. A text that is one place alone becomes the value itself."""
    if isinstance(thing, str):
        whole = _PARAMETER.fullmatch(thing)
        if whole:
            return values[whole[1]]
        return _PARAMETER.sub(lambda match: _text(values[match[1]]), thing)
    if isinstance(thing, list):
        return [fill_parameters(item, values) for item in thing]
    if isinstance(thing, dict):
        return {key: fill_parameters(item, values) for key, item in thing.items()}
    return thing


def places(thing: Any) -> Iterable[str]:
    """The names of the parameters that *thing* (JSON) has places for."""
    if isinstance(thing, str):
        yield from _PARAMETER.findall(thing)
    elif isinstance(thing, list | dict):
        for item in thing.values() if isinstance(thing, dict) else thing:
            yield from places(item)
