"""Celery's words and ours. Pure.

A worker is its node name (`celery@render-07`) on one broker; another process under it is another life. A task of ours
has an id that says which attempt it is, so that no table of ids is needed and none can be lost.
"""

import json
import re
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from uuid import UUID, uuid5

from coordinator.gateways.celery.wire import Event, Stats, TaskEvent
from coordinator.gateways.kit import worker_id
from coordinator.operations.foreign import Portrait, Sign
from schemas.task import AssignedAttempt, Outcome, TaskFinished, TaskProgress, TaskStarted

PROTOCOL: Final = "celery"
#: The one command that its workers can run: the task that the kind names.
COMMAND: Final = "celery"
#: The pool whose workers say nothing, and answer nothing, while they run a task.
SOLO: Final = "solo"
#: What every worker of theirs serves, beside its own queues.
QUEUE: Final = "default"
#: So many heartbeats may be missing before a worker is lost, and so many seconds at least: its reconnecting takes some.
FLATLINE_HEARTBEATS: Final = 5
LOST_AFTER_S: Final = 20.0
#: How often workers are asked that send no heartbeats.
POLL_S: Final = 10.0
#: Without a word for so long, a worker has no series any more.
SHOWN_S: Final = 60.0
MOST_SLOTS: Final = 500
#: Elections of gossip are no business of ours.
WORKER_EVENTS: Final = frozenset({"worker-online", "worker-heartbeat", "worker-offline"})
MOST_NAMES: Final = 200
_LIVES: Final = UUID("0d2a7c5e-94c1-5f0e-8f41-0c38a4b3a9d2")
_WORD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}")
_AT: Final = " at "
_TEXT: Final = 2000
_RESULT: Final = 4000

# --- workers -----------------------------------------------------------------------------------------------


def foreign_id(realm: str, hostname: str) -> str:
    """What identifies a worker: its node name, and the broker if that is not the farm's own."""
    return f"{hostname}{_AT}{realm}" if realm else hostname


def place_of(foreign: str) -> tuple[str, str]:
    """Realm and node name of a worker."""
    hostname, at, realm = foreign.rpartition(_AT)
    return (realm, hostname) if at else ("", foreign)


def name_of(foreign: str) -> str:
    """What the worker is called here."""
    return worker_id(PROTOCOL, place_of(foreign)[1], of=foreign)


def instance_of(foreign: str, pid: int, born: int) -> UUID:
    """Which life of it this is: a process, and when we first heard of it (in containers all have the same number)."""
    return uuid5(_LIVES, f"{foreign}|{pid}|{born}")


def exchange_of(prefix: str) -> str:
    """Through which inboxes are reached. Not the nameless one: a worker takes that for a queue that its own retries
    must declare, in a process that knows nothing of the inbox, and then as another kind of queue."""
    return f"{prefix}.celery"


def inbox_of(prefix: str, name: str, instance: UUID) -> str:
    """The queue of its own from which this life of a worker takes our tasks."""
    return f"{prefix}.celery.{name}.{instance.hex[:8]}"


def is_client(event: Event) -> bool:
    """Whether it speaks for a client, not for a worker (`gen829@host` is what sends tasks)."""
    return not event.type.startswith("worker-")


def says_all(event: Event) -> bool:
    """Whether the event tells how the worker is. The answer to a remote `heartbeat` does not; its `freq` is none."""
    return event.active is not None or event.loadavg is not None


class Process(Protocol):
    """A life, as far as it is shown."""

    foreign: str
    pid: int
    born: int
    inbox: str | None


def mute(life: Process) -> Portrait:
    """A worker that says nothing by itself, and is asked whether it is there."""
    platform = {"hostname": place_of(life.foreign)[1], "pid": life.pid, "born": life.born}
    return Portrait(PROTOCOL, life.foreign, POLL_S, FLATLINE_HEARTBEATS * POLL_S, platform=platform)


def silent(life: Process) -> Portrait:
    """A worker that lives, and says nothing more of itself."""
    return Portrait(PROTOCOL, life.foreign)


def pool_of(stats: Stats) -> str | None:
    """Which of Celery's pools it has, by the name of its module: `prefork`, `thread`, `solo`."""
    return (stats.pool.implementation or "").rpartition(":")[0].rpartition(".")[2] or None


def portrait_of(life: Process, event: Event) -> Portrait:
    """What an event tells of its worker. Before it has an inbox it is given nothing."""
    freq = event.freq if says_all(event) else None
    software = " ".join(filter(None, (event.sw_ident, event.sw_ver)))
    platform: dict[str, Any] = {"hostname": place_of(life.foreign)[1], "pid": life.pid, "born": life.born}
    if event.sw_sys:
        platform["os"] = event.sw_sys
    given = life.inbox is not None
    if not given:
        platform["inbox"] = None
    return Portrait(
        PROTOCOL,
        life.foreign,
        kinds=None if given else (),
        runners=None if given else (),
        heartbeat_s=freq,
        lost_after_s=None if freq is None else max(LOST_AFTER_S, FLATLINE_HEARTBEATS * freq),
        software=software or None,
        platform=platform,
    )


def sign_of(event: Event, lag: float | None = None) -> Sign:
    """What it says of itself. What its clock says is shown; it is judged by when it was heard.

    *lag*: the least that an event of it took, by our clock; so the number by which words are told from older ones goes
    on when its clock is set back.
    """
    timestamp = event.timestamp
    return Sign(
        seq=None if timestamp is None else int((timestamp + (lag or 0.0)) * 1000),
        at=None if timestamp is None else datetime.fromtimestamp(timestamp, UTC),
        active=(event.active or 0) > 0,
        open_sessions=None if event.active is None else max(event.active, 0),
        stats={"load": event.loadavg or [], "processed": event.processed, "clock": event.clock}
        if says_all(event)
        else None,
    )


def inspected(
    foreign: str, stats: Stats, tasks: tuple[str, ...], queues: tuple[str, ...], inbox: str | None
) -> Portrait:
    """What a worker answered when it was asked. Without an *inbox* it is given nothing."""
    kinds = tuple(name for name in tasks if _WORD.fullmatch(name))[:MOST_NAMES] if inbox else ()
    served = (QUEUE, *(name for name in queues if _WORD.fullmatch(name) and name not in {QUEUE, inbox}))
    platform = {
        "pool": pool_of(stats),
        "virtual_host": stats.broker.virtual_host,
        "inbox": inbox,
    }
    slots = stats.pool.max_concurrency
    return Portrait(
        PROTOCOL,
        foreign,
        platform={key: value for key, value in platform.items() if value is not None},
        kinds=kinds,
        queues=served[:MOST_NAMES],
        runners=(COMMAND,) if inbox else (),
        slots=None if slots is None else min(slots, MOST_SLOTS),
    )


# --- ids of tasks ------------------------------------------------------------------------------------------

_VERSION: Final = 8
_VARIANT: Final = 2
_END: Final = 0x5A5
_MOST_TASKS: Final = 2**48


def tag_of(prefix: str) -> int:
    """What all ids of one farm begin with."""
    return zlib.crc32(prefix.encode())


def uuid_of(tag: int, task: int, attempt: int) -> str:
    """The id of an attempt as a Celery task: a UUID (version 8, for those who check) that holds the numbers."""
    number = (tag << 96) | ((task >> 32 & 0xFFFF) << 80) | (_VERSION << 76) | ((task >> 20 & 0xFFF) << 64)
    return str(UUID(int=number | (_VARIANT << 62) | ((task & 0xFFFFF) << 42) | (attempt << 11) | _END))


def attempt_of(tag: int, text: str) -> tuple[int, int] | None:
    """The task and attempt in an id, if it is one of ours."""
    if not text.startswith(f"{tag:08x}-"):
        return None
    try:
        number = UUID(text).int
    except ValueError:
        return None
    task = (number >> 80 & 0xFFFF) << 32 | (number >> 64 & 0xFFF) << 20 | (number >> 42 & 0xFFFFF)
    attempt = number >> 11 & 0x7FFF_FFFF
    return (task, attempt) if text == uuid_of(tag, task, attempt) and task and attempt else None


# --- tasks -------------------------------------------------------------------------------------------------


def cannot_run(attempt: AssignedAttempt) -> str | None:
    """Why a Celery worker cannot run this, in words; None when it can."""
    (command, *more) = attempt.commands
    parameters = command.parameters
    if more or command.name != COMMAND or not set(parameters) <= {"args", "kwargs"}:
        return f"a Celery worker runs one command {COMMAND!r} with args and kwargs"
    if not isinstance(parameters.get("args", []), list) or not isinstance(parameters.get("kwargs", {}), dict):
        return "args must be a list, and kwargs names with values"
    if attempt.environment:
        return "a Celery worker cannot be given an environment"
    if attempt.promote is not None or attempt.upload:
        return "a Celery worker does not hand in outputs"
    return None


def message_of(attempt: AssignedAttempt, uuid: str) -> tuple[dict[str, Any], bytes]:
    """Headers and body of the task as Celery's own clients send it (message protocol 2)."""
    parameters = attempt.commands[0].parameters
    args, kwargs = parameters.get("args", []), parameters.get("kwargs", {})
    headers: dict[str, Any] = {
        "lang": "py",
        "task": attempt.kind,
        "id": uuid,
        "shadow": None,
        "eta": None,
        "expires": None,
        "group": None,
        "group_index": None,
        "retries": 0,
        "timelimit": [None, None],
        "root_id": uuid,
        "parent_id": None,
        "argsrepr": repr(args)[:1024],
        "kwargsrepr": repr(kwargs)[:1024],
        "origin": "farmhand",
        "ignore_result": False,
        "replaced_task_nesting": 0,
        "stamped_headers": None,
        "stamps": {},
    }
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return headers, json.dumps([args, kwargs, embedded]).encode()


#: How a task ended, by the event that says so.
OUTCOMES: Final[Mapping[str, Outcome]] = {
    "task-succeeded": Outcome.COMPLETED,
    "task-failed": Outcome.FAILED,
    "task-revoked": Outcome.INTERRUPTED,
    "task-rejected": Outcome.FAILED,
}
#: What says that the worker has it.
BEGINNINGS: Final = frozenset({"task-received", "task-started"})
#: The worker will run it once more.
AGAIN: Final = frozenset({"task-retried", "task-cancelled"})


def is_end(event: TaskEvent) -> bool:
    """Whether it says that the task has ended. Rejected with `requeue`, it comes again."""
    return event.type in OUTCOMES and not event.requeue


def report_of(
    event: TaskEvent, task: int, attempt: int, *, revoked: bool
) -> TaskStarted | TaskProgress | TaskFinished | None:
    """What an event says of an attempt; *revoked*: we have asked for its end."""
    if event.type in BEGINNINGS:
        return TaskStarted(task=task, attempt=attempt)
    if event.type in AGAIN or event.requeue:
        said = f"{event.type.removeprefix('task-')}: {event.exception or 'the worker runs it again'}"
        return TaskProgress(task=task, attempt=attempt, done=0, total=1, activity=said[:200])
    if event.type not in OUTCOMES:
        return None
    outcome, error = OUTCOMES[event.type], None
    if event.type == "task-revoked":
        outcome = Outcome.CANCELED if revoked else Outcome.FAILED if event.expired else outcome
    if outcome is Outcome.FAILED:
        error = event.exception or ("the task rejected it" if event.type == "task-rejected" else "it expired")
    result = event.result if outcome is Outcome.COMPLETED else None
    return TaskFinished(
        task=task,
        attempt=attempt,
        outcome=outcome,
        error=error and error[:_TEXT],
        result=result and result[:_RESULT],
        run_s=event.runtime,
    )
