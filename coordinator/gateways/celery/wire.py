"""What Celery sends: events on `celeryev`, one JSON object or an array of them.

Only JSON is read. Whatever says that it is pickled (or anything else) is counted and left: it is never decoded.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final

from pydantic import Field, ValidationError

from coordinator.gateways.kit import Lenient, Shown

JSON: Final = frozenset({None, "", "application/json", "application/x-json", "text/json"})
MOST_EVENTS: Final = 10_000
_BIG: Final = 2**53


Name = Annotated[Shown, Field(min_length=1, max_length=512)]
Figure = Annotated[float, Field(ge=0)]
When = Annotated[float, Field(ge=0, le=253_402_300_799)]


class UnreadableError(Exception):
    """A message that is not what Celery sends as JSON; `reason` is a word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Event(Lenient):
    """An event of a worker (Celery: `events/event.py`, `worker/heartbeat.py`)."""

    type: Annotated[str, Field(max_length=64)]
    hostname: Name
    pid: int | None = None
    clock: Annotated[int, Field(ge=0, le=_BIG)] | None = None
    timestamp: When | None = None
    freq: Annotated[float, Field(gt=0, le=86_400)] | None = None
    active: Annotated[int, Field(ge=-_BIG, le=_BIG)] | None = None
    processed: Annotated[int, Field(ge=0, le=_BIG)] | None = None
    loadavg: Annotated[list[Figure], Field(max_length=3)] | None = None
    sw_ident: Annotated[Shown, Field(max_length=128)] | None = None
    sw_ver: Annotated[Shown, Field(max_length=128)] | None = None
    sw_sys: Annotated[Shown, Field(max_length=128)] | None = None


def decode(body: bytes, content_type: str | None) -> list[Any]:
    """The events in a message, unchecked. Raises UnreadableError."""
    if content_type not in JSON:
        raise UnreadableError("not-json")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise UnreadableError("malformed") from None
    events = value if isinstance(value, list) else [value]
    if len(events) > MOST_EVENTS:
        raise UnreadableError("oversized")
    return events


def worker_events(values: Sequence[Any]) -> tuple[list[Event], int]:
    """Those of *values* that are events of workers, and how many are none that can be read."""
    found = []
    for value in values:
        try:
            found.append(Event.model_validate(value))
        except ValidationError:
            continue
    return found, len(values) - len(found)
