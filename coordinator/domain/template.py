"""Array elements: one specification, many tasks. `{{index}}`, `{{value}}` and `{{value.key}}` are filled in."""

import json
import re
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
