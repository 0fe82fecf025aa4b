"""Flamenco 3's words and ours. Pure.

Their UUIDs are made of our numbers, so that nothing has to be looked up: a task's holds the number of its attempt too.
So what a worker says of a task it has lost concerns that attempt only, whoever has the task by now.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from coordinator.domain.task import TaskState
from coordinator.domain.worker import EFFECTS, Asked, Connection, Duty, fulfilled
from coordinator.gateways.kit import worker_id
from coordinator.operations.foreign import Portrait, Standing
from coordinator.operations.pulling import Seen
from coordinator.operations.signs import Handed
from schemas.task import Outcome

PROTOCOL: Final = "flamenco_v3"
#: A worker that finds no task asks again after 20 s, after a failed call after 60 s, give or take a tenth: two failed
#: calls in a row are no reason to give it up.
HEARTBEAT_S: Final = 35.0
LOST_AFTER_S: Final = 150.0
#: Status words as their schemas list them.
WORKER_STATUSES: Final = ("starting", "awake", "asleep", "error", "testing", "offline", "restart")
TASK_STATUSES: Final = ("active", "canceled", "completed", "failed", "queued", "soft-failed", "paused")

#: What a worker says of itself: what it is willing to do; None: it goes.
DUTIES: Final[Mapping[str, Duty | None]] = {
    "starting": Duty.STARTING,
    "awake": Duty.AWAKE,
    "asleep": Duty.ASLEEP,
    "error": Duty.ERROR,
    "testing": Duty.TESTING,
    "offline": None,
    "restart": None,
}
#: What it is told when it is asked for this. It knows of awake, asleep, offline and restart; asleep is how it takes
#: no work, and what it then says is taken for what it was asked for.
TOLD: Final[Mapping[Asked, str]] = {
    Asked.AWAKE: "awake",
    Asked.ASLEEP: "asleep",
    Asked.DRAIN: "asleep",
    Asked.ERROR: "asleep",
    Asked.TESTING: "awake",
    Asked.QUARANTINED: "asleep",
    Asked.RESTART: "restart",
    Asked.OFFLINE: "offline",
}
#: What operators ask for by their words.
ASKED: Final[Mapping[str, Asked]] = {
    "awake": Asked.AWAKE,
    "asleep": Asked.ASLEEP,
    "error": Asked.ERROR,
    "testing": Asked.TESTING,
    "offline": Asked.OFFLINE,
    "restart": Asked.RESTART,
}
#: What nobody can be asked for: it is what a worker is by itself.
UNASKABLE: Final = frozenset({"starting"})
#: How a worker that is there is shown.
STATUS_OF: Final[Mapping[Duty, str]] = {
    Duty.AWAKE: "awake",
    Duty.ASLEEP: "asleep",
    Duty.DRAINING: "asleep",
    Duty.ERROR: "error",
    Duty.TESTING: "testing",
    Duty.STARTING: "starting",
    Duty.QUARANTINED: "error",
}
#: And one that is not.
STATUS_AWAY: Final[Mapping[Connection, str]] = {Connection.OFFLINE: "offline", Connection.LOST: "error"}

#: What a worker says has become of its task: how it ended; None: it goes on.
OUTCOMES: Final[Mapping[str, Outcome | None]] = {
    "active": None,
    "completed": Outcome.COMPLETED,
    "failed": Outcome.FAILED,
    "canceled": Outcome.CANCELED,
    "queued": Outcome.INTERRUPTED,
}
#: What is not a worker's to say.
NOT_THEIRS: Final[Mapping[str, str]] = {
    "soft-failed": "task status soft-failed is the Manager's to give, workers send failed",
    "paused": "task status paused is the Manager's to give",
}
#: How our tasks are called there.
TASK_STATUS_OF: Final[Mapping[TaskState, str]] = {
    TaskState.BLOCKED: "queued",
    TaskState.SCHEDULED: "queued",
    TaskState.PAUSED: "paused",
    TaskState.READY: "queued",
    TaskState.ASSIGNED: "active",
    TaskState.RUNNING: "active",
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELED: "canceled",
}

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", re.ASCII)
_KIND: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}", re.ASCII)
_FLAMENCO: Final = "flamenco-worker "
#: A UUID of version 8: 48 bits for an attempt, 12 that say what it is, 62 for a task's or a job's number.
_TASK, _JOB = 0x7A5, 0x70B
_NUMBERS: Final = 2**62
_FRAME: Final = 8 << 76 | 0b10 << 62


class Ref(NamedTuple):
    """An attempt."""

    task: int
    attempt: int


def is_uuid(text: str) -> bool:
    """Whether *text* is a UUID as everybody writes it."""
    return _UUID.fullmatch(text) is not None


def _task_number(task: int, attempt: int) -> int:
    return attempt << 80 | _FRAME | _TASK << 64 | task


def task_uuid(task: int, attempt: int) -> str:
    """What this attempt is called."""
    return str(UUID(int=_task_number(task, attempt)))


def job_uuid(job: int) -> str:
    """What this job is called."""
    return str(UUID(int=_FRAME | _JOB << 64 | job))


def ref_of(uuid: str) -> Ref | None:
    """The attempt with this UUID; None when it is none of ours."""
    number = int(uuid.replace("-", ""), 16)
    task, attempt = number % _NUMBERS, number >> 80
    if number != _task_number(task, attempt) or not 0 < attempt < 2**31 or not task:
        return None
    return Ref(task, attempt)


# --- workers -----------------------------------------------------------------------------------------------


def name_of(name: str, address: str, platform: str) -> str:
    """What a worker is called here that registers under *name* from *address*: the same when it does so again."""
    return worker_id(PROTOCOL, name, f"{name}\0{address}\0{platform}")


def other_name_of(name: str, uuid: str) -> str:
    """What it is called here when somebody else has that name."""
    return worker_id(PROTOCOL, name, uuid)


def kinds_of(types: Sequence[str]) -> tuple[str, ...]:
    """Their task types are our kinds, in small letters. What could be no kind of ours nobody can submit a task of."""
    kinds = (one.strip().lower() for one in types)
    return tuple(dict.fromkeys(kind for kind in kinds if _KIND.fullmatch(kind)))


def portrait_of(
    uuid: str,
    *,
    name: str,
    address: str,
    types: Sequence[str] = (),
    platform: str | None = None,
    version: str | None = None,
    can_restart: bool | None = None,
) -> Portrait:
    """What is known of the worker: by its registration, or by its sign-on."""
    machine = {"hostname": name, "address": address}
    return Portrait(
        protocol=PROTOCOL,
        foreign_id=uuid,
        heartbeat_s=HEARTBEAT_S,
        lost_after_s=LOST_AFTER_S,
        software=None if version is None else f"{_FLAMENCO}{version}",
        platform=machine if platform is None else {**machine, "os": platform},
        kinds=kinds_of(types),
        queues=("default",),
        slots=1,
        can_restart=can_restart,
    )


def version_of(software: str) -> str:
    """The version that it gave at its sign-on."""
    return software.removeprefix(_FLAMENCO)


def status_of(connection: Connection, duty: Duty) -> str:
    """How a worker is shown."""
    return STATUS_AWAY.get(connection) or STATUS_OF[duty]


def meant_by(status: str) -> Mapping[Asked, Duty]:
    """What a worker means that says it is in *status* when it was asked for one of these, and told so in that word."""
    duties = {asked: EFFECTS[asked].duty for asked, told in TOLD.items() if told == status}
    return {asked: duty for asked, duty in duties.items() if duty is not None}


def first_status(standing: Standing) -> str:
    """What a worker that signs on is told to be."""
    return TOLD[standing.requested] if standing.requested is not None else "awake"


def pending(standing: Standing) -> str | None:
    """What the worker is asked for and is not yet; None: nothing."""
    asked = standing.requested
    return None if asked is None or fulfilled(asked, standing.duty) else TOLD[asked]


def pressing(standing: Standing) -> bool:
    """Whether a worker that runs something is to stop it at once for what it is asked for."""
    asked = standing.requested
    if asked is None or standing.lazy:
        return False
    return not fulfilled(asked, standing.duty) or standing.duty not in (Duty.AWAKE, Duty.TESTING)


def instead_of_work(standing: Standing) -> str | None:
    """What a worker that asks for work is to do instead. Who was put aside in its absence does not know yet."""
    put_aside = standing.requested is Asked.QUARANTINED and standing.duty is Duty.QUARANTINED
    return TOLD[Asked.QUARANTINED] if put_aside else pending(standing)


def works(standing: Standing) -> bool:
    """Whether it is in a state in which it gets tasks."""
    return standing.connection is not Connection.OFFLINE and standing.duty in (Duty.AWAKE, Duty.TESTING)


def fresh_uuid() -> str:
    """A new worker's UUID."""
    return str(uuid4())


# --- tasks -------------------------------------------------------------------------------------------------


def task_of(handed: Handed, commands: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A task as its worker is told of it (AssignedTask); *commands* have their variables replaced."""
    return {
        "uuid": task_uuid(handed.task, handed.attempt),
        "job": job_uuid(handed.job),
        "name": handed.name,
        "status": "active",
        "priority": handed.priority,
        "job_priority": handed.job_priority,
        "job_type": "farmhand",
        "task_type": handed.spec["kind"],
        "commands": list(commands),
        "steps_completed": handed.done or 0,
        "steps_total": handed.total or len(commands),
    }


def keep_of(seen: Seen | None) -> dict[str, Any]:
    """Whether a worker may go on with a task (MayKeepRunning); None: there is no such task."""
    if seen is None or not seen.known:
        return _keep("Task not found")
    if pressing(seen.standing):
        return _keep("worker status change requested", change=True)
    if not seen.own:
        return _keep("task not assigned to this worker")
    if not seen.live:
        return _keep(f'task is in non-runnable status "{TASK_STATUS_OF[TaskState(seen.state)]}"')
    return {"mayKeepRunning": True, "reason": "", "statusChangeRequested": False}


def _keep(reason: str, *, change: bool = False) -> dict[str, Any]:
    return {"mayKeepRunning": False, "reason": reason, "statusChangeRequested": change}


def command_of(command: Mapping[str, Any]) -> dict[str, Any]:
    """A command as they write it. One step is what they call none: the worker reports one when the command is done."""
    steps = int(command.get("steps", 1))
    return {
        "name": command["name"],
        "parameters": command.get("parameters") or {},
        "total_step_count": steps if steps > 1 else 0,
    }
