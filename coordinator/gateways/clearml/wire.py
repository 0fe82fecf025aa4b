"""What ClearML's clients send (ClearML API, services workers, queues, tasks, events, auth).

A call's fields are those of its JSON body, whatever its method and its header say, and of its query. What is null is as
if it were missing, but where a field says otherwise.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final
from urllib.parse import parse_qsl

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field

from coordinator.gateways.kit import Fault, Lenient, Shown
from schemas.base import UndecodableError, refuse_unstorable

#: Logs of a task come in one body.
EVENTS_BYTES: Final = 8 * 1024 * 1024
#: The longest registration time-out: after 30 days of silence nobody believes in it.
LONGEST_TIMEOUT_S: Final = 30 * 86400
_SINCE: Final = Field(ge=0, le=10**11)

Name = Annotated[Shown, Field(min_length=1, max_length=256)]
Id = Annotated[Shown, Field(max_length=256)]
Tag = Annotated[Shown, Field(max_length=256)]


def _listed(value: Any) -> Any:
    """One value stands for a list of one; null for none."""
    return [] if value is None else value if isinstance(value, list) else [value]


Tags = Annotated[list[Tag], Field(max_length=100), BeforeValidator(_listed)]
MaybeTags = Annotated[list[Tag], Field(max_length=100)] | None
Ids = Annotated[list[Id], Field(max_length=1000), BeforeValidator(_listed)]
MaybeIds = Annotated[list[Id], Field(max_length=1000)] | None


class Said(Lenient):
    """A call's fields; a number stands for a text where a text is wanted, for a query has no others."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


class Nothing(Said):
    """What takes no fields, or none that we know."""


class Login(Said):
    """auth.login."""

    expiration_sec: Annotated[int, Field(ge=1)] | None = None


# --- workers -----------------------------------------------------------------------------------------------


class Register(Said):
    """workers.register. No time-out, or 0: the usual one."""

    worker: Name
    timeout: Annotated[int, Field(le=LONGEST_TIMEOUT_S)] | None = None
    queues: Ids = Field(default_factory=list)
    tags: Tags = Field(default_factory=list)
    system_tags: Tags = Field(default_factory=list)


class Unregister(Said):
    """workers.unregister."""

    worker: Name


Number = Annotated[float, Field(ge=-1e30, le=1e30)]
Numbers = Annotated[list[Number], Field(max_length=4096), BeforeValidator(_listed)]


class MachineStats(Said):
    """Figures of a machine: of each core or card, or of the whole."""

    cpu_usage: Numbers = Field(default_factory=list)
    cpu_temperature: Numbers = Field(default_factory=list)
    gpu_usage: Numbers = Field(default_factory=list)
    gpu_temperature: Numbers = Field(default_factory=list)
    gpu_memory_free: Numbers = Field(default_factory=list)
    gpu_memory_used: Numbers = Field(default_factory=list)
    memory_used: Number | None = None
    memory_free: Number | None = None
    network_tx: Number | None = None
    network_rx: Number | None = None
    disk_free_home: Number | None = None
    disk_free_temp: Number | None = None
    disk_read: Number | None = None
    disk_write: Number | None = None


class StatusReport(Said):
    """workers.status_report. What is missing of `queues`, `tags`, `system_tags` stays as it was."""

    worker: Name
    timestamp: Annotated[int, Field(ge=0, le=10**15)]
    task: Id | None = None
    queue: Id | None = None
    queues: MaybeIds = None
    machine_stats: MachineStats | None = None
    tags: MaybeTags = None
    system_tags: MaybeTags = None


class Count(Said):
    """workers.get_count; `worker_pattern` has `*` and `?`."""

    last_seen: Annotated[int, _SINCE] | None = None
    tags: Tags = Field(default_factory=list)
    system_tags: Tags = Field(default_factory=list)
    worker_pattern: Annotated[str, Field(max_length=256)] | None = None


class GetAll(Count):
    """workers.get_all: of the last hour, if nothing else is said; null and 0 are all."""

    last_seen: Annotated[int, _SINCE] | None = 3600


class MetricKeys(Said):
    """workers.get_metric_keys."""

    worker_ids: Ids = Field(default_factory=list)


class ActivityReport(Said):
    """workers.get_activity_report."""

    from_date: Annotated[float, _SINCE]
    to_date: Annotated[float, _SINCE]
    interval: Annotated[int, Field(ge=1, le=366 * 86400)]


class StatItem(Said):
    """A metric, and how it is summed up: documents call that `category`, servers read `aggregation`."""

    key: Annotated[str, Field(max_length=64)]
    aggregation: Annotated[str | None, Field(validation_alias=AliasChoices("aggregation", "category"))] = None


class Stats(ActivityReport):
    """workers.get_stats."""

    items: Annotated[list[StatItem], Field(min_length=1, max_length=64)]
    worker_ids: Ids = Field(default_factory=list)
    split_by_variant: bool | None = False


# --- queues ------------------------------------------------------------------------------------------------


class Queues(Said):
    """queues.get_all: by id, or by a pattern of the name."""

    id: Ids = Field(default_factory=list)
    name: Annotated[str, Field(max_length=256)] | None = None


class Queue(Said):
    """What concerns one queue."""

    queue: Id


class NewQueue(Said):
    """queues.create."""

    name: Annotated[str, Field(max_length=256)]


# --- tasks -------------------------------------------------------------------------------------------------


class Tasks(Said):
    """tasks.get_all: those that are named."""

    id: Ids = Field(default_factory=list)


class Task(Said):
    """What concerns one task."""

    task: Id
    status_message: str | None = None
    status_reason: str | None = None


# --- how they come -----------------------------------------------------------------------------------------


def fields(body: bytes, query: str) -> bytes:
    """All fields of a call as one JSON object. Raises Fault 400."""
    asked = _nested(parse_qsl(query, keep_blank_values=True, max_num_fields=1000)) if query else {}
    try:
        said = json.loads(body) if body.strip() else {}
    except (ValueError, RecursionError):
        raise Fault(400, "the body is not JSON", extra={"subcode": 12}) from None
    if not isinstance(said, dict):
        raise Fault(400, "the body is not a JSON object", extra={"subcode": 12})
    whole = body if said and not asked else json.dumps({**asked, **said}).encode()
    try:
        refuse_unstorable(whole)
    except UndecodableError as error:
        raise Fault(400, str(error), extra={"subcode": 12}) from None
    return whole


def lines(body: bytes) -> list[Mapping[str, Any]]:
    """The objects of a batch: one on each line. Raises Fault 400."""
    found: list[Any] = []
    for line in filter(None, (line.strip() for line in body.split(b"\n"))):
        one = json.loads(fields(line, ""))
        # An events batch may also come as one object with a list.
        found.extend(one["events"] if isinstance(one.get("events"), list) else [one])
    return [one for one in found if isinstance(one, dict)]


def _nested(pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """`a.b=1` is an object in an object; `a[]=1`, or `a` twice, a list."""
    made: dict[str, Any] = {}
    for path, value in pairs:
        *outer, name = path.removesuffix("[]").split(".")[:8]
        place = made
        for one in outer:
            inner = place.setdefault(one, {})
            place = inner if isinstance(inner, dict) else {}
        if isinstance(place.get(name), list):
            place[name].append(value)
        elif name in place:
            place[name] = [place[name], value]
        else:
            place[name] = [value] if path.endswith("[]") else value
    return made
