"""SQL as named text: `-- name: x` opens a statement in `sql/<noun>.sql`; loaded once, never built from strings."""

import re
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

_NAME: Final = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


@cache
def load(noun: str) -> MappingProxyType[str, str]:
    """The statements of `sql/<noun>.sql` by name. Raises ValueError when a name is used twice."""
    parts = _NAME.split(files("coordinator.storage").joinpath("sql", f"{noun}.sql").read_text(encoding="utf-8"))
    names, texts = parts[1::2], parts[2::2]
    if len(set(names)) != len(names):
        raise ValueError(f"sql/{noun}.sql uses a name twice")
    return MappingProxyType({name: text.strip().rstrip(";") for name, text in zip(names, texts, strict=True)})
