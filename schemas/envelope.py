"""Envelopes: a list of events from a worker, a list of commands to one, or submissions.

The list is the unit: one message carries what has gathered, split so that it fits `MAX_MESSAGE_BYTES`.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal, TypeVar
from uuid import UUID

from pydantic import AwareDatetime, Field, TypeAdapter

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
    events: list[Annotated[WorkerEvent, Field(discriminator="type")]]


class ToWorker(Message):
    """Commands to one worker, under the epoch that the coordinator knows."""

    v: Version = VERSION
    worker: WorkerName
    epoch: Count
    commands: list[Annotated[WorkerCommand, Field(discriminator="type")]]


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
    """The envelope in *body*, and how many events of unknown type were left out of it."""
    return _decode_list(body, FromWorker, "events", EVENT_TYPES)


def decode_to_worker(body: bytes) -> tuple[ToWorker, int]:
    """The envelope in *body*, and how many commands of unknown type were left out of it."""
    return _decode_list(body, ToWorker, "commands", COMMAND_TYPES)


def _decode_list(body: bytes, model: type[M], key: str, known: frozenset[str]) -> tuple[M, int]:
    try:
        return decode(body, model), 0
    except UndecodableError as error:
        if error.code != "union_tag_invalid":
            raise
    raw = json.loads(body)
    items = raw[key]
    raw[key] = [item for item in items if not _is_unknown(item, known)]
    known_only = json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode()
    return decode(known_only, model, limit=2 * MAX_MESSAGE_BYTES), len(items) - len(raw[key])


def _is_unknown(item: object, known: frozenset[str]) -> bool:
    """Whether a newer version may know what this is: an object whose `type` is a word, though none of ours."""
    kind = item.get("type") if isinstance(item, dict) else None
    return isinstance(kind, str) and kind not in known


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
