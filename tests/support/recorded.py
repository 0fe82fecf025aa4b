"""Messages as releases sent them (`tests/recorded`): each file is named for a message that is in it."""

import json
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parents[1] / "recorded"
FIRST: Final = "first"


def recorded(name: str, release: str = FIRST) -> tuple[str, dict[str, Any]]:
    """The routing key and the body of the recording of *name*."""
    said = json.loads((HERE / release / f"{name}.json").read_text())
    return said["key"], said["body"]


def names(release: str = FIRST) -> list[str]:
    """All that were recorded of *release*."""
    return sorted(path.stem for path in (HERE / release).glob("*.json"))


def seeds() -> list[tuple[str, bytes]]:
    """What workers and submitters sent: routing keys and bodies."""
    said = (recorded(name) for name in names())
    return [(key, json.dumps(body).encode()) for key, body in said if "events" in body]
