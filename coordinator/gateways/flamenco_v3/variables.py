"""The variables of a Flamenco Manager's configuration, which stand for another value on each platform.

The file is their own `flamenco-manager.yaml`; only its `variables` are read, and again whenever it has changed. One
that cannot be read leaves the variables as they were, and is told in the log.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import Field, ValidationError

from coordinator.gateways.kit import Lenient

_log = logging.getLogger(__name__)
_NAME: Final = re.compile(r"\{([^{}\s]+)\}")


class Value(Lenient):
    """What a variable stands for on a platform, and for whom."""

    platform: str = ""
    platforms: list[str] = Field(default_factory=list)
    audience: Literal["", "all", "workers", "users"] = "all"
    value: str

    def is_for(self, platform: str) -> bool:
        """Whether workers on *platform* get it."""
        return self.audience != "users" and not {"all", platform}.isdisjoint((self.platform, *self.platforms))


class Variable(Lenient):
    """One variable."""

    values: Annotated[list[Value], Field(default_factory=list)]


class _File(Lenient):
    variables: dict[str, Variable] = Field(default_factory=dict)


class Variables:
    """Those of a file; without one there are none."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._read_at = (0, 0)
        self._variables: Mapping[str, Variable] = {}

    def replaced(self, parameters: Mapping[str, Any], platform: str) -> dict[str, Any]:
        """*parameters* with each `{name}` in a text, or in a list of texts, replaced; what is no variable stays."""
        self._look()
        values = {
            name: next((one.value for one in variable.values if one.is_for(platform)), None)
            for name, variable in self._variables.items()
        }
        return {name: _filled(value, values) for name, value in parameters.items()}

    def _look(self) -> None:
        if self._path is None:
            return
        try:
            stat = self._path.stat()
            if (stat.st_mtime_ns, stat.st_size) == self._read_at:
                return
            self._read_at = (stat.st_mtime_ns, stat.st_size)
            self._variables = _File.model_validate(yaml.safe_load(self._path.read_bytes()) or {}).variables
        except (OSError, yaml.YAMLError, ValidationError) as error:
            _log.warning("the variables in %s cannot be read: %s", self._path, str(error).splitlines()[0])


def _filled(value: Any, values: Mapping[str, str | None]) -> Any:
    if isinstance(value, str):
        return _NAME.sub(lambda match: values.get(match[1]) or match[0], value)
    if isinstance(value, Sequence):
        return [_filled(one, values) if isinstance(one, str) else one for one in value]
    return value
