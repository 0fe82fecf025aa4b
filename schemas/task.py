"""Tasks as they travel: what is to be run, what a worker says of it, what it is told about it.

An attempt belongs to one worker for ever; `(task, attempt)` with the envelope's worker is the fence of
every report. Times are aware UTC; durations carry their unit in the name.
"""

import contextlib
from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationError

from schemas.base import AttemptNumber, Count, Line, Message, Parameters, Positive, Strict, Text, Word


class Phase(StrEnum):
    """How far a worker is with an attempt that it holds."""

    RECEIVED = "received"
    RUNNING = "running"
    FINISHED = "finished"
    STOPPING = "stopping"


class Outcome(StrEnum):
    """How an attempt ended, as its worker reports it.

    `interrupted`: the worker could not carry it to its end (shutting down, hand-back); no retry is burnt.
    `canceled`: it was stopped because it was revoked.
    """

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    INTERRUPTED = "interrupted"


class Cause(StrEnum):
    """Why an attempt failed, where its worker can tell. Without a cause the exit code decides.

    `program`: the program says so. `memory`, `disk`: there was not enough. `time`: it ran longer than it may.
    `stalled`: nothing was heard of it for too long. `unavailable`: something that it needs cannot be had just now, such
    as a licence. `hopeless`: no worker can run it.
    """

    PROGRAM = "program"
    MEMORY = "memory"
    DISK = "disk"
    TIME = "time"
    STALLED = "stalled"
    UNAVAILABLE = "unavailable"
    HOPELESS = "hopeless"


class Verdict(StrEnum):
    """The coordinator's answer to `task.finished`; the same report always gets the same one."""

    ACCEPTED = "accepted"
    SUPERSEDED = "superseded"


class Resources(Message):
    """What an attempt takes of its worker while it is held: slots, cpus (cores), memory (MiB), gpus."""

    slots: Annotated[int, Field(ge=1, le=500)] = 1
    cpus: Annotated[float, Field(ge=0, le=4096)] = 0
    memory_mb: Annotated[int, Field(ge=0, le=2**40)] = 0
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0


class Limits(Message):
    """What the processes of an attempt get of the machine.

    `memory_mb`: when they take more together they are killed, and the attempt has failed for want of memory (0: no
    limit). `nice`: their priority, 19 is the lowest. `oom_score`: 1000 is killed first when the machine runs out of
    memory. `idle_io`: they read and write only when nobody else does.
    """

    memory_mb: Annotated[int, Field(ge=0, le=2**40)] = 0
    nice: Annotated[int, Field(ge=0, le=19)] = 0
    oom_score: Annotated[int, Field(ge=0, le=1000)] = 0
    idle_io: bool = False


class Command(Message):
    """One step of a task: the runner's name, its parameters, and how many progress steps it will report."""

    name: Word
    parameters: Parameters = Field(default_factory=dict)
    steps: Annotated[int, Field(ge=1, le=10**9)] = 1


class SecretRef(Strict):
    """In place of a variable's value: the secret of this name, which only the worker has."""

    secret: Word

    @classmethod
    def name_in(cls, value: object) -> str | None:
        """The name of the secret that *value*, a model or what JSON makes of it, refers to, when it does."""
        if isinstance(value, dict) and "secret" in value:
            with contextlib.suppress(ValidationError):
                return cls.model_validate(value).secret
        return value.secret if isinstance(value, SecretRef) else None


def secrets_named(environment: Mapping[str, "str | SecretRef"], commands: Iterable[Command]) -> set[str]:
    """The secrets that a task asks for: in its environment, and in that of its commands."""
    values: list[object] = [*environment.values()]
    for command in commands:
        given = command.parameters.get("env")
        if isinstance(given, Mapping):
            values += given.values()
    return {name for value in values if (name := SecretRef.name_in(value)) is not None}


class AttemptRef(Message):
    """Which attempt is meant."""

    task: Positive
    attempt: AttemptNumber


class Held(AttemptRef):
    """An attempt that a worker holds, in `worker.online` and `worker.heartbeat`."""

    phase: Phase
    done: Count | None = None
    outcome: Outcome | None = None


class Input(Message):
    """The accepted attempts of a dependency.

    Of tasks `first`, `first` + 1, … the attempt numbers in order (one for a plain task, many for an array). Their
    directories are `<task>/<attempt>` below the output root.
    """

    name: Line
    first: Positive
    attempts: list[AttemptNumber]


class AssignedAttempt(AttemptRef):
    """An attempt that the worker is to run: its commands one after the other.

    `directory` is the attempt's own, relative to the output root as this worker mounts it; `promote` is the
    path below the publish root that people know, filled after the verdict `accepted`; `upload` are the file
    patterns to send to the coordinator over HTTP; `max_run_s` is how long it may run (the worker ends it then, and
    reports a failure); `day` is the day the attempt was made (log chunks repeat it).
    An `exclusive` attempt must not start before a `beat_ack` names it, nor run longer than its lease.
    """

    job: Positive
    name: Text
    kind: Word
    commands: Annotated[list[Command], Field(min_length=1, max_length=100)]
    environment: dict[str, str | SecretRef] = Field(default_factory=dict)
    resources: Resources = Resources()
    lease_s: float
    directory: Line
    max_run_s: Annotated[float, Field(gt=0)] | None = None
    inputs: list[Input] = Field(default_factory=list)
    promote: str | None = None
    upload: list[str] = Field(default_factory=list)
    exclusive: bool = False
    limits: Limits | None = None
    day: date


class OutputFile(Message):
    """One file that an attempt made: `name` is relative to the attempt's directory, `digest` is sha256 in hex.

    `stored` is true when the coordinator holds a copy (uploaded), else the file lies in the directory only.
    """

    name: Annotated[str, Field(min_length=1, max_length=400)]
    size: Count
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    media_type: Line | None = None
    stored: bool = False


# --- events, from the worker -------------------------------------------------------------------------------


class TaskStarted(AttemptRef):
    """The attempt runs."""

    type: Literal["task.started"] = "task.started"


class TaskProgress(AttemptRef):
    """How far it is: steps done of all its steps, and what it is doing, in words."""

    type: Literal["task.progress"] = "task.progress"
    done: Count
    total: Count
    activity: Line | None = None


class TaskFinished(AttemptRef):
    """It ended. Kept in the worker's journal and sent again until a verdict comes.

    `cause` is a word of `Cause`; one that the receiver does not know says nothing. `added` are the marks
    (`schemas.spawn.mark_of`) of the tasks that the attempt has added: without them a completion has no verdict.
    """

    type: Literal["task.finished"] = "task.finished"
    outcome: Outcome
    exit_code: Annotated[int, Field(ge=-(2**31), lt=2**31)] | None = None
    error: Text | None = None
    cause: Word | None = None
    result: JsonValue = None
    outputs: Annotated[list[OutputFile], Field(max_length=200)] = Field(default_factory=list)
    run_s: Annotated[float, Field(ge=0)] | None = None
    added: Annotated[list[Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]], Field(max_length=1000)] | None = None


class TaskPromoted(AttemptRef):
    """Its outputs are now at the path that people know."""

    type: Literal["task.promoted"] = "task.promoted"
    path: Text


class TaskOutput(AttemptRef):
    """An output before the end, such as a preview picture; `location` says where it lies when not stored."""

    type: Literal["task.output"] = "task.output"
    file: OutputFile
    location: Text | None = None


class TaskLog(AttemptRef):
    """A piece of the attempt's log: chunks are counted from 0 and stored once; travels on a queue of its own."""

    type: Literal["task.log"] = "task.log"
    chunk: Count
    day: date
    text: Annotated[str, Field(max_length=32 * 1024)]


# --- commands, to the worker -------------------------------------------------------------------------------


class Assign(Message):
    """Run these. A known attempt is answered with its state, never with a second run."""

    type: Literal["assign"] = "assign"
    attempts: list[AssignedAttempt]


class Revocation(AttemptRef):
    """Stop this attempt: ask it to end, and kill it `grace_s` seconds later."""

    reason: Line
    grace_s: Annotated[float, Field(ge=0, le=3600)] = 5.0


class Revoke(Message):
    """Stop these."""

    type: Literal["revoke"] = "revoke"
    attempts: list[Revocation]


class Judged(AttemptRef):
    """A verdict on one attempt."""

    verdict: Verdict


class Verdicts(Message):
    """What became of the reports."""

    type: Literal["verdict"] = "verdict"
    verdicts: list[Judged]
