"""Flamenco 1's words and ours. Pure.

Its workers are one address and one port each, and are called there. Their number is that address and port as one
integer, so that nobody has to remember it.
"""

import json
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final

from coordinator.domain.attempt import AttemptState
from coordinator.domain.task import TaskState
from coordinator.domain.worker import PRESENT, Connection, Duty
from coordinator.gateways.flamenco_v1.wire import OURS, NewTask, NewWorker, TaskUpdate
from coordinator.gateways.kit import worker_id
from coordinator.gateways.kit.holdings import Found, Holder
from coordinator.operations.foreign import Portrait
from schemas.task import AssignedAttempt, Outcome, TaskFinished, TaskProgress, TaskStarted

PROTOCOL: Final = "flamenco_v1"
#: The one command that its workers can run: a program with its arguments.
COMMAND: Final = "exec"
QUEUE: Final = "default"
#: Of a task's environment only this is told to a worker: who reads the output.
PARSER: Final = "FLAMENCO_PARSER"
#: So many rounds without an answer, and a worker is lost.
MISSED_ROUNDS: Final = 3
_PORTS: Final = 2**16
_PRIORITIES: Final = 100
_USUAL_PRIORITY: Final = 50
_KEY: Final = "flamenco_v1:"
_LINE: Final = 200
_TEXT: Final = 2000

#: Their word for a task, from ours.
TASK_WORDS: Final[Mapping[TaskState, str]] = {
    TaskState.BLOCKED: "ready",
    TaskState.SCHEDULED: "ready",
    TaskState.PAUSED: "ready",
    TaskState.READY: "ready",
    TaskState.ASSIGNED: "running",
    TaskState.RUNNING: "running",
    TaskState.COMPLETED: "finished",
    TaskState.FAILED: "failed",
    TaskState.CANCELED: "aborted",
}
#: What a worker may say of its task: how it ended, or None while it runs. (`ready` is nothing that a worker knows.)
OUTCOMES: Final[Mapping[str, Outcome | None]] = {
    "running": None,
    "rendering": None,
    "finished": Outcome.COMPLETED,
    "failed": Outcome.FAILED,
    "aborted": Outcome.INTERRUPTED,
}
#: An attempt is its worker's own in these states, and is to go on in those.
HELD: Final = frozenset(AttemptState) - {AttemptState.ENDED}
LIVE: Final = HELD - {AttemptState.STOPPING}
#: What a worker may say of itself: its duty.
DUTIES: Final[Mapping[str, Duty]] = {
    "enabled": Duty.AWAKE,
    "available": Duty.AWAKE,
    "rendering": Duty.AWAKE,
    "busy": Duty.AWAKE,
    "disabled": Duty.ASLEEP,
    "error": Duty.ERROR,
}
#: Their word for a worker that runs nothing, from its duty.
WORKER_WORDS: Final[Mapping[Duty, str]] = {
    Duty.AWAKE: "enabled",
    Duty.ASLEEP: "disabled",
    Duty.DRAINING: "disabled",
    Duty.ERROR: "error",
    Duty.TESTING: "disabled",
    Duty.STARTING: "disabled",
    Duty.QUARANTINED: "disabled",
}
#: Their word for whether it is there.
CONNECTIONS: Final[Mapping[Connection, str]] = {one: "online" if one in PRESENT else "offline" for one in Connection}
#: A worker that says one of these of itself in `/info` has a program running.
BUSY: Final = frozenset({"rendering", "busy"})
#: What it would say whose answer is longer than is read.
WORKING: Final = {"status": "rendering"}


# --- addresses and numbers ---------------------------------------------------------------------------------


def host_of(address: str) -> IPv4Address | None:
    """The address that somebody calls from; None when it is none of the fourth version, which is all they know."""
    try:
        host = ip_address(address)
    except ValueError:
        return None
    return host.ipv4_mapped if isinstance(host, IPv6Address) else host


def foreign_id(host: IPv4Address, port: int) -> str:
    """What identifies a worker."""
    return f"{host}:{port}"


def place_of(foreign: str) -> tuple[IPv4Address, int]:
    """The address and port in it."""
    host, _, port = foreign.partition(":")
    return IPv4Address(host), int(port)


def number_of(foreign: str) -> int:
    """A worker's number."""
    host, port = place_of(foreign)
    return int(host) * _PORTS + port


def foreign_of(number: int) -> str | None:
    """Whose number it is; None when it is nobody's."""
    host, port = divmod(number, _PORTS)
    return foreign_id(IPv4Address(host), port) if 0 <= host < 2**32 and port else None


def name_of(foreign: str) -> str:
    """What the worker is called here."""
    return worker_id(PROTOCOL, foreign)


def key_of(number: int) -> str:
    """The key of the job that is made of their task of this number."""
    return f"{_KEY}{number}"


def sought(number: int) -> int | str:
    """What a task's number means: one of our own tasks, or the key of what came through this gateway."""
    return number - OURS if number > OURS else key_of(number)


def told(task: int, key: str | None) -> int:
    """The number by which a worker is told of a task: theirs, if it came from them."""
    number = (key or "").removeprefix(_KEY)
    return int(number) if number != key and number.isdecimal() else OURS + task


# --- tasks -------------------------------------------------------------------------------------------------


def job_of(task: NewTask) -> dict[str, Any]:
    """The job that is made of their task. Their lower priority goes first."""
    priority = _USUAL_PRIORITY if task.priority is None else min(max(_PRIORITIES - task.priority, 0), _PRIORITIES)
    name = f"flamenco task {task.task_id}"
    command = {"name": task.type, "parameters": task.settings}
    environment = {PARSER: task.parser} if task.parser else {}
    return {
        "name": name,
        "key": key_of(task.task_id),
        "tasks": [
            {"name": name, "kind": task.type, "commands": [command], "priority": priority, "environment": environment}
        ],
    }


def view_of(number: int, state: TaskState, task: NewTask | None = None) -> dict[str, Any]:
    """What the answer to a new task shows, or to a deleted one."""
    settings = task.settings if task is not None else {}

    def frame(name: str) -> int | None:
        value = settings.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31 else None

    form = settings.get("format")
    return {
        "id": number,
        "worker_id": None,
        "priority": task and task.priority,
        "frame_start": frame("frame_start"),
        "frame_end": frame("frame_end"),
        "frame_current": frame("frame_current"),
        "status": TASK_WORDS[state],
        "format": form if isinstance(form, str) else "",
    }


def cannot_run(attempt: AssignedAttempt) -> str | None:
    """Why a Flamenco 1 worker cannot run this, in words; None when it can."""
    (command, *more) = attempt.commands
    if more or command.name != COMMAND or not {"argv"} <= set(command.parameters) <= {"argv", "progress"}:
        return f"a Flamenco 1 worker runs one command {COMMAND!r} with argv alone"
    argv = command.parameters["argv"]
    if not isinstance(argv, list) or not argv or not all(isinstance(one, str) for one in argv):
        return "argv must be a list of texts"
    if set(attempt.environment) - {PARSER}:
        return "a Flamenco 1 worker cannot be given an environment"
    if attempt.promote is not None or attempt.upload:
        return "a Flamenco 1 worker does not hand in outputs"
    return None


def order_of(attempt: AssignedAttempt, number: int) -> dict[str, str]:
    """The form of `/execute_task`."""
    return {
        "task_id": str(number),
        "job_id": str(attempt.job),
        "task_parser": str(attempt.environment.get(PARSER, "")),
        "settings": "{}",
        "task_command": json.dumps(attempt.commands[0].parameters["argv"]),
    }


def is_end(update: TaskUpdate) -> bool:
    """Whether it says that the task has ended there."""
    return isinstance(update.status, str) and OUTCOMES.get(update.status) is not None


def reports(update: TaskUpdate, found: Found) -> tuple[TaskStarted | TaskProgress | TaskFinished, ...]:
    """What a worker's *update* of an attempt that has not ended says to us."""
    task, attempt = found.task, found.attempt or 1
    outcome = OUTCOMES.get(update.status) if isinstance(update.status, str) else None
    if outcome is not None:
        if outcome is Outcome.INTERRUPTED and found.attempt_state is AttemptState.STOPPING:
            outcome = Outcome.CANCELED
        error = (update.log or update.activity or "it failed") if outcome is Outcome.FAILED else None
        return (
            TaskFinished(
                task=task, attempt=attempt, outcome=outcome, error=error and error[-_TEXT:], run_s=update.time_cost
            ),
        )
    started = TaskStarted(task=task, attempt=attempt)
    if update.activity is None:
        return (started,)
    done, total = found.done or 0, found.total or 1
    return started, TaskProgress(task=task, attempt=attempt, done=done, total=total, activity=update.activity[:_LINE])


# --- workers -----------------------------------------------------------------------------------------------


def portrait_of(foreign: str, worker: NewWorker | None = None, kinds: str = "", every_s: float = 0) -> Portrait:
    """What is known of a worker: when it registers, all; later nothing more."""
    if worker is None:
        return Portrait(PROTOCOL, foreign)
    return Portrait(
        PROTOCOL,
        foreign,
        heartbeat_s=every_s,
        lost_after_s=MISSED_ROUNDS * every_s,
        software="Flamenco 1",
        platform={"hostname": worker.hostname, "os": worker.system or ""},
        kinds=tuple(filter(None, kinds.split(","))),
        queues=(QUEUE,),
        runners=(COMMAND,),
        slots=1,
    )


def shown(holder: Holder) -> dict[str, Any]:
    """A worker as their list shows it."""
    host, port = place_of(holder.foreign_id)
    held = holder.held
    return {
        "id": number_of(holder.foreign_id),
        "hostname": hostname(holder),
        "ip_address": str(host),
        "port": port,
        "status": WORKER_WORDS[holder.duty] if held is None or holder.duty is not Duty.AWAKE else "rendering",
        "connection": CONNECTIONS[holder.connection],
        "system": str(holder.platform.get("os") or ""),
        "current_task": held and told(held.task, held.key),
        "activity": held and held.activity,
        "log": None,
        "time_cost": None,
    }


def hostname(holder: Holder) -> str:
    """What it calls itself."""
    return str(holder.platform.get("hostname") or holder.foreign_id)


def listed(holders: list[Holder]) -> dict[str, Any]:
    """Their list, by hostname; of two of one name the second is told apart by its port, and not left out."""
    listing: dict[str, Any] = {}
    for holder in holders:
        name = hostname(holder)
        listing[holder.foreign_id if name in listing else name] = shown(holder)
    return listing
