"""Workers as they travel: what one says of itself, and what it is told."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from schemas.base import Count, Line, Message, Positive, Short, Text, Word
from schemas.task import AttemptRef, Held

#: More slots than this an agent may not have: a heartbeat that lists every slot must fit one message.
MAX_SLOTS = 500
#: As many attempts fit a heartbeat or an online: those in slots first, then the newest waiting for a verdict.
MAX_HELD = 500


class Duty(StrEnum):
    """What a worker is willing to do (its connection is another matter)."""

    AWAKE = "awake"
    ASLEEP = "asleep"
    DRAINING = "draining"
    ERROR = "error"
    TESTING = "testing"
    STARTING = "starting"
    QUARANTINED = "quarantined"


class RequestedState(StrEnum):
    """What the coordinator can ask of a worker."""

    AWAKE = "awake"
    ASLEEP = "asleep"
    DRAIN = "drain"
    ERROR = "error"
    TESTING = "testing"
    QUARANTINED = "quarantined"
    RESTART = "restart"
    OFFLINE = "offline"


class Platform(Message):
    """The machine, for people: `os` and `arch` as Python's platform module words them."""

    os: Line = ""
    arch: Short = ""
    hostname: Line = ""
    python: Short = ""


class Gpu(Message):
    """One GPU: utilisation in percent, memory in bytes, temperature in degrees Celsius."""

    name: Line
    percent: float | None = None
    memory_used: Count | None = None
    memory_total: Count | None = None
    temperature: float | None = None


class MachineStats(Message):
    """The machine's load: percents 0 to 100, sizes in bytes, rates in bytes a second, load averages."""

    cpu_percent: float = 0.0
    cores_percent: Annotated[list[float], Field(max_length=1024)] = Field(default_factory=list)
    load: Annotated[list[float], Field(max_length=3)] = Field(default_factory=list)
    memory_used: Count = 0
    memory_total: Count = 0
    disk_used: Count = 0
    disk_total: Count = 0
    network_received_rate: float = 0.0
    network_sent_rate: float = 0.0
    gpus: Annotated[list[Gpu], Field(max_length=64)] = Field(default_factory=list)


class Capacity(Message):
    """What a worker offers: slots, cpus (cores), memory (MiB), gpus."""

    slots: Annotated[int, Field(ge=1, le=MAX_SLOTS)] = 1
    cpus: Annotated[float, Field(ge=0, le=4096)] = 0
    memory_mb: Annotated[int, Field(ge=0, le=2**40)] = 0
    gpus: Annotated[int, Field(ge=0, le=1024)] = 0


Words = Annotated[list[Word], Field(max_length=64)]
HeldList = Annotated[list[Held], Field(max_length=MAX_HELD)]
HeldRefs = Annotated[list[AttemptRef], Field(max_length=MAX_HELD)]


# --- events ------------------------------------------------------------------------------------------------


class WorkerOnline(Message):
    """I am here. Sent only when the worker's own queue is declared and consumed.

    It lists all that it holds; what it does not list is lost. `boot_id` tells one start of the machine from
    the next. `queues` are in the order in which it wants to serve them. `supervises` are the commands that it can
    run in exclusive tasks: as processes that a supervisor ends in time even when the agent is dead.

    `runners` are the commands that it can run, `secrets` the names of those that it has, `enforces` the limits of tasks
    (fields of `Limits`) that it can keep. What is not said is not known, and not asked for.

    `connection` is the name of the connection on which the queue is consumed (client property `connection_name`, in the
    form `w/<worker>/<instance>/c<number>`): when the broker says that it closed, the worker is missed at once.
    """

    type: Literal["worker.online"] = "worker.online"
    boot_id: Annotated[str, Field(max_length=100)]
    software: Short
    platform: Platform = Platform()
    kinds: Words
    queues: Annotated[Words, Field(min_length=1)]
    tags: Words = Field(default_factory=list)
    zone: Word = "default"
    capacity: Capacity = Capacity()
    duty: Duty = Duty.AWAKE
    can_restart: bool = False
    supervises: Words = Field(default_factory=list)
    runners: Words | None = None
    secrets: Words | None = None
    enforces: Words | None = None
    connection: Line = ""
    holds: HeldList = Field(default_factory=list)


class WorkerHeartbeat(Message):
    """I am alive, this is all I hold, and this is how the machine feels."""

    type: Literal["worker.heartbeat"] = "worker.heartbeat"
    duty: Duty = Duty.AWAKE
    holds: HeldList = Field(default_factory=list)
    queues: Words = Field(default_factory=list)
    stats: MachineStats | None = None
    open_sessions: Count = 0
    last_activity_at: AwareDatetime | None = None


class WorkerStateChanged(Message):
    """My duty is now this: because I was asked to, or by a local signal.

    `refused` is what I was asked for and will not do, for this reason: the request ends.
    """

    type: Literal["worker.state_changed"] = "worker.state_changed"
    duty: Duty
    reason: Text | None = None
    refused: RequestedState | None = None


class WorkerOffline(Message):
    """Goodbye. `handed_back` are attempts that it holds and will not finish; they are ready again at once.

    `duty` is what it was willing to do before it began to go: it is asked for that again when it comes back.
    """

    type: Literal["worker.offline"] = "worker.offline"
    reason: Text | None = None
    duty: Duty | None = None
    handed_back: Annotated[list[AttemptRef], Field(max_length=MAX_HELD)] = Field(default_factory=list)


# --- commands ----------------------------------------------------------------------------------------------


class Welcome(Message):
    """You are known under this epoch.

    `heartbeat_s` and `lease_s` are seconds; `keep` are the attempts that are still yours, the others are to be stopped.
    """

    type: Literal["welcome"] = "welcome"
    epoch: Positive
    heartbeat_s: Annotated[float, Field(gt=0)]
    lease_s: Annotated[float, Field(gt=0)]
    server_time: AwareDatetime
    keep: list[AttemptRef] = Field(default_factory=list)


class Reset(Message):
    """Your epoch is over: say `worker.online` again, with all that you hold."""

    type: Literal["reset"] = "reset"
    reason: Line


class RequestState(Message):
    """Please change your state: at once, or when the attempts you hold have ended (`lazy`).

    With `if_idle` it is a question: who holds something, or has sessions open, refuses (`worker.state_changed`).
    """

    type: Literal["request_state"] = "request_state"
    state: RequestedState
    lazy: bool = True
    if_idle: bool = False
    reason: Text | None = None
    actor: Line | None = None


class BeatAck(Message):
    """The heartbeat with this sequence number was applied.

    The leases of the exclusive attempts in `leases` run `lease_s` seconds from its sending; they may start.
    """

    type: Literal["beat_ack"] = "beat_ack"
    seq: Count
    lease_s: float
    leases: HeldRefs = Field(default_factory=list)
