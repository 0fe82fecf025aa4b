"""Writes YAML: mappings and lists in blocks, texts of several lines as they are, other values as JSON has them.

Enough for the documents we generate, so that the contract needs no YAML library. A test reads them with one.
"""

import json
import re
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./-]+)*")
_NOT_STRINGS: Final = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})


def to_yaml(value: dict[str, Any]) -> str:
    """*value* as YAML: mappings and lists in blocks, texts of several lines as they are."""
    return "\n".join(_lines(value)) + "\n"


def _lines(value: dict[str, Any] | list[Any], indent: str = "") -> list[str]:
    made: list[str] = []
    pairs = value.items() if isinstance(value, dict) else ((None, item) for item in value)
    for key, item in pairs:
        head = f"{indent}- " if key is None else f"{indent}{_scalar(key)}: "
        inner = indent + "  "
        if isinstance(item, dict | list) and item:
            nested = _lines(item, inner)
            if key is None:
                made.append(head + nested[0].removeprefix(inner))
                made.extend(nested[1:])
            else:
                made.append(head.rstrip())
                made.extend(nested)
        elif isinstance(item, str) and "\n" in item:
            made.append(head + "|-")
            made.extend(inner + line if line else "" for line in item.split("\n"))
        else:
            made.append(head + _scalar(item))
    return made


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _NOT_STRINGS:
        return value
    return json.dumps(value, ensure_ascii=False)
