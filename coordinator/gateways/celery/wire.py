"""What Celery sends: events on `celeryev`, one JSON object or an array of them, and replies to control messages.

Only JSON is read. Whatever says that it is pickled (or anything else) is counted and left: it is never decoded.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, ValidationError

from coordinator.gateways.kit import Lenient, Shown

JSON: Final = frozenset({None, "", "application/json", "application/x-json", "text/json"})
MOST_EVENTS: Final = 10_000
_BIG: Final = 2**53


def _storable(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


Name = Annotated[Shown, Field(min_length=1, max_length=512)]
Figure = Annotated[float, Field(ge=0)]
Text = Annotated[str, AfterValidator(_storable)]
When = Annotated[float, Field(ge=0, le=253_402_300_799)]


class UnreadableError(Exception):
    """A message that is not what Celery sends as JSON; `reason` is a word for counting."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Event(Lenient):
    """An event of a worker, or of a task on it (Celery: `events/event.py`, `worker/heartbeat.py`)."""

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


class TaskEvent(Lenient):
    """What is said of a task. The hostname of `task-sent` is its client's."""

    type: Annotated[str, Field(max_length=64)]
    hostname: Name
    uuid: Annotated[Text, Field(min_length=1, max_length=255)]
    clock: Annotated[int, Field(ge=0, le=_BIG)] | None = None
    timestamp: When | None = None
    name: Annotated[Text, Field(max_length=512)] | None = None
    args: Text | None = None
    keywords: Text | None = Field(default=None, validation_alias="kwargs")
    retries: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    queue: Annotated[Text, Field(max_length=255)] | None = None
    result: Text | None = None
    runtime: Annotated[float, Field(ge=0)] | None = None
    exception: Text | None = None
    traceback: Text | None = None
    terminated: bool | None = None
    expired: bool | None = None
    requeue: bool | None = None


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
    return _read(Event, values)


def task_events(values: Sequence[Any]) -> tuple[list[TaskEvent], int]:
    """Those of *values* that are events of tasks, and how many are none that can be read."""
    return _read(TaskEvent, values)


def _read(model: Any, values: Sequence[Any]) -> tuple[list[Any], int]:
    found = []
    for value in values:
        try:
            found.append(model.model_validate(value))
        except ValidationError:
            continue
    return found, len(values) - len(found)


# --- replies to control messages ---------------------------------------------------------------------------


class Pool(Lenient):
    """How many tasks it runs at once."""

    implementation: Annotated[Shown, Field(max_length=200)] | None = None
    max_concurrency: Annotated[int, Field(ge=1)] | None = Field(default=None, validation_alias="max-concurrency")


class Broker(Lenient):
    """Where it is connected."""

    virtual_host: Annotated[Shown, Field(max_length=256)] | None = None


class Stats(Lenient):
    """`inspect stats`, as far as it is of use. `uptime` is missing before Celery 5.1."""

    pid: int | None = None
    uptime: Figure | None = None
    pool: Pool = Pool()
    broker: Broker = Broker()


def stats_of(reply: Any) -> Stats | None:
    """What a worker answered to `stats`."""
    try:
        return Stats.model_validate(reply)
    except ValidationError:
        return None


def names_of(reply: Any) -> tuple[str, ...]:
    """The names in an answer to `registered` (`name [rate_limit=…]`) or `active_queues` (`{"name": …}`)."""
    if not isinstance(reply, list):
        return ()
    names = (one.get("name") if isinstance(one, Mapping) else one for one in reply)
    return tuple(dict.fromkeys(name.partition(" ")[0] for name in names if isinstance(name, str) and name))
