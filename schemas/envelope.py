"""Envelopes: a list of events from a worker, a list of commands to one, or submissions.

The list is the unit: one message carries what has gathered, split so that it fits `MAX_MESSAGE_BYTES`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Final, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, FailFast, Field, JsonValue, TypeAdapter, ValidationError

from schemas.base import (
    MAX_MESSAGE_BYTES,
    Count,
    Line,
    M,
    Message,
    UndecodableError,
    WorkerName,
    decode,
)
from schemas.job import JobSpec
from schemas.spawn import TaskSpawn
from schemas.task import (
    Assign,
    Revoke,
    TaskFinished,
    TaskLog,
    TaskOutput,
    TaskProgress,
    TaskPromoted,
    TaskStarted,
    Verdicts,
)
from schemas.worker import (
    BeatAck,
    Duty,
    RequestState,
    Reset,
    Welcome,
    WorkerHeartbeat,
    WorkerOffline,
    WorkerOnline,
    WorkerStateChanged,
)

#: The version of this contract; unknown fields and events of a neighbouring version are ignored and counted.
VERSION: Final = 1


class JobSubmit(Message):
    """A job, submitted over AMQP by `job.<submitter>`; answered on the message's `reply_to` when it has one."""

    type: Literal["job.submit"] = "job.submit"
    job: JobSpec


WorkerEvent = (
    WorkerOnline
    | WorkerHeartbeat
    | WorkerStateChanged
    | WorkerOffline
    | TaskStarted
    | TaskProgress
    | TaskFinished
    | TaskPromoted
    | TaskOutput
    | TaskSpawn
    | TaskLog
)
WorkerCommand = Welcome | Reset | Assign | Revoke | RequestState | BeatAck | Verdicts

KnownEvent = Annotated[WorkerEvent, Field(discriminator="type")]
KnownCommand = Annotated[WorkerCommand, Field(discriminator="type")]

Version = Annotated[int, Field(ge=1, le=1000)]


class FromWorker(Message):
    """Events of one worker.

    `epoch` is the one it was last welcomed under (0 before), `instance` one life of its process, `seq` grows with every
    envelope of an instance.
    """

    v: Version = VERSION
    worker: WorkerName
    epoch: Count
    instance: UUID
    seq: Count
    sent_at: AwareDatetime
    events: Annotated[list[KnownEvent], FailFast()]


class ToWorker(Message):
    """Commands to one worker, under the epoch that the coordinator knows."""

    v: Version = VERSION
    worker: WorkerName
    epoch: Count
    commands: Annotated[list[KnownCommand], FailFast()]


class FromSubmitter(Message):
    """Submissions of one program or person."""

    v: Version = VERSION
    submitter: WorkerName
    sent_at: AwareDatetime
    events: list[JobSubmit]


class SubmitReply(Message):
    """The answer to a submission: the job, or the problem (one line that says what to do)."""

    job: Count | None = None
    created: bool = False
    problem: Line | None = None


EVENT_TYPES: Final = frozenset(model.model_fields["type"].default for model in WorkerEvent.__args__)
COMMAND_TYPES: Final = frozenset(model.model_fields["type"].default for model in WorkerCommand.__args__)


def decode_from_worker(body: bytes) -> tuple[FromWorker, int]:
    """The envelope in *body*, and how many of its events were left out, because only a newer version knows them."""
    return _decode_list(body, FromWorker, "events", EVENT_TYPES)


def decode_to_worker(body: bytes) -> tuple[ToWorker, int]:
    """The envelope in *body*, and how many of its commands were left out, because only a newer version knows them."""
    return _decode_list(body, ToWorker, "commands", COMMAND_TYPES)


_ITEMS: Final[dict[str, TypeAdapter[Any]]] = {
    "events": TypeAdapter(KnownEvent),
    "commands": TypeAdapter(KnownCommand),
}
_DUTIES: Final = frozenset(Duty)


def _decode_list(body: bytes, model: type[M], key: str, known: frozenset[str]) -> tuple[M, int]:
    try:
        return decode(body, model), 0
    except UndecodableError as error:
        if error.code not in ("union_tag_invalid", "enum"):
            raise
    raw = json.loads(body)
    version, items = raw.get("v", VERSION), raw[key]
    newer = isinstance(version, int) and version > VERSION
    raw[key] = [
        item for item in items if not _is_unknown(item, known) and not (newer and _has_new_word(item, _ITEMS[key]))
    ]
    known_only = json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode()
    return decode(known_only, model, limit=2 * MAX_MESSAGE_BYTES), len(items) - len(raw[key])


def _is_unknown(item: JsonValue, known: frozenset[str]) -> bool:
    """Whether a newer version may know what this is: an object whose `type` is a word, though none of ours."""
    kind = item.get("type") if isinstance(item, dict) else None
    return isinstance(kind, str) and kind not in known


def _has_new_word(item: JsonValue, model: TypeAdapter[Any]) -> bool:
    """Whether *item*, of a newer version, can be understood but for words that are none of ours.

    A duty is not left out for that, because a worker that is not heard is lost: it is taken for `asleep`.
    """
    if isinstance(item, dict) and isinstance(item.get("duty"), str) and item["duty"] not in _DUTIES:
        item["duty"] = Duty.ASLEEP.value
    try:
        model.validate_json(json.dumps(item))
    except ValidationError as error:
        return all(one["type"] == "enum" and isinstance(one["input"], str) for one in error.errors(include_url=False))
    return False


T = TypeVar("T")

#: What an envelope takes around its list, with room to spare.
_ENVELOPE_BYTES: Final = 1024


def split(items: Iterable[tuple[T, int]], *, limit: int = MAX_MESSAGE_BYTES) -> Iterator[list[T]]:
    """Lists of *items* (message, its size as JSON in bytes) that fit one envelope each, in order.

    Raises ValueError when one of them alone does not fit: its maker should have refused it.
    """
    room = limit - _ENVELOPE_BYTES
    part: list[T] = []
    used = 0
    for item, size in items:
        if size > room:
            raise ValueError(f"a {type(item).__name__} of {size} bytes does not fit a message of {limit}")
        if part and used + size + 1 > room:
            yield part
            part, used = [], 0
        part.append(item)
        used += size + 1
    if part:
        yield part


def size_of(message: Message) -> int:
    """The size of *message* as JSON, in bytes."""
    return len(TypeAdapter(type(message)).dump_json(message))
