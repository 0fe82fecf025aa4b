"""ClearML's words and ours. Pure: the time is given.

What is odd: a queue is called by an id, which is its name spelt in digits here, so that no table is needed; a task's id
is that of one attempt, so that nothing that comes late revives anything; an agent that asks for work does not say who
it is, and is known by its session, the login under which it has registered.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from fnmatch import translate as glob
from typing import Any, Final, NamedTuple

from coordinator.domain.figures import Course
from coordinator.domain.task import TaskState
from coordinator.gateways.clearml.wire import MachineStats, Register, StatusReport
from coordinator.gateways.kit import Given, Registered, worker_id
from coordinator.operations.foreign import Portrait, Sign
from coordinator.operations.signs import Kept
from schemas.task import Outcome

PROTOCOL: Final = "clearml"
#: What their workers run: tasks of this kind, whose one command has this name.
KIND: Final = "clearml"
COMMAND: Final = "clearml"
#: An agent reports twice a minute, and asks for work more often.
HEARTBEAT_S: Final = 30.0
#: Seconds after an agent's goodbye in which a report of it, which was under way, does not bring it back.
QUIET_S: Final = 60.0
#: Below this a time is in seconds, from it on in milliseconds.
_MILLISECONDS: Final = 10**11
_MIB: Final = 1024 * 1024

TASK_STATUSES: Final = ("created", "queued", "in_progress", "stopped", "published", "publishing", "closed", "failed",
                        "completed", "unknown")  # fmt: skip
#: What becomes of a task by an agent's word.
OUTCOMES: Final[Mapping[str, Outcome]] = {
    "completed": Outcome.COMPLETED,
    "failed": Outcome.FAILED,
    "stopped": Outcome.INTERRUPTED,
}
#: How an attempt that is not its worker's any more is shown, by what its task is now: the agent ends it.
STATUS_OF: Final[Mapping[TaskState, str]] = {
    TaskState.BLOCKED: "stopped",
    TaskState.SCHEDULED: "stopped",
    TaskState.PAUSED: "stopped",
    TaskState.READY: "stopped",
    TaskState.ASSIGNED: "stopped",
    TaskState.RUNNING: "stopped",
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELED: "stopped",
}
RUNS: Final = "in_progress"
#: What our tasks never are to an agent: it sees those that it was given.
UNUSED: Final = frozenset({"created", "queued", "published", "publishing", "closed", "unknown"})

#: Which figures of a course are an aggregation of theirs.
AGGREGATIONS: Final[Mapping[str, Callable[[Course], Sequence[float]]]] = {
    "avg": lambda course: course.means,
    "min": lambda course: course.lows,
    "max": lambda course: course.highs,
}
#: Metrics of the whole machine; the others have a variant for each core or card.
TOTAL: Final = frozenset(name for name, one in MachineStats.model_fields.items() if one.default is None)
_METRIC: Final = "clearml."

_WORD: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,63}", re.ASCII)
_QUEUE: Final = re.compile(r"(?:[0-9a-f]{2}){16,64}", re.ASCII)
_TASK: Final = re.compile(r"fa12([0-9a-f]{8})([0-9a-f]{20})", re.ASCII)
_ESCAPED: Final = re.compile(r"\\([^A-Za-z0-9])")


# --- queues ------------------------------------------------------------------------------------------------


def is_queue(name: str) -> bool:
    """Whether a queue may have this name here."""
    return _WORD.fullmatch(name) is not None


def queue_id(name: str) -> str:
    """What the queue of this name is called: at least 32 digits, as agents know an id."""
    return name.encode().hex().ljust(32, "0")


def queue_name(queue: str) -> str | None:
    """The name of the queue with this id; None: it is none."""
    if not _QUEUE.fullmatch(queue):
        return None
    name = bytes.fromhex(queue).rstrip(b"\0").decode("ascii", "replace")
    return name if is_queue(name) and queue_id(name) == queue else None


def queues_called(pattern: str, known: Collection[str]) -> list[str]:
    """The queues whose name *pattern* finds: of those that are *known*, and the one that it spells out.

    A queue is there as soon as somebody names it, as for our own agents: an agent may be started before the first job.
    Raises ValueError for what is no pattern.
    """
    try:
        found = [name for name in known if re.search(pattern, name, re.IGNORECASE)]
    except (re.error, RecursionError, OverflowError):
        raise ValueError("name: not a regular expression") from None
    spelt = _ESCAPED.sub(r"\1", pattern.removeprefix("^").removesuffix("$"))
    if is_queue(spelt) and not any(name.lower() == spelt.lower() for name in found):
        found.append(spelt)
    return found


# --- tasks -------------------------------------------------------------------------------------------------


class Ref(NamedTuple):
    """An attempt."""

    task: int
    attempt: int


def task_id(task: int, attempt: int) -> str:
    """What this attempt is called."""
    return f"fa12{attempt:08x}{task:020x}"


def ref_of(task: str) -> Ref | None:
    """The attempt with this id; None when it is none of ours."""
    match = _TASK.fullmatch(task)
    ref = Ref(int(match[2], 16), int(match[1], 16)) if match else None
    return ref if ref and 0 < ref.task < 2**62 and 0 < ref.attempt < 2**31 else None


def status_of(state: str, *, live: bool) -> str:
    """How an attempt is shown to its worker."""
    return RUNS if live else STATUS_OF[TaskState(state)]


#: What a program of theirs is made of, beside its text (`diff`) and its requirements.
_PROGRAM: Final = ("repository", "branch", "tag", "version_num", "entry_point", "working_dir", "binary")


def task_of(task: str, given: Given, status: str) -> dict[str, Any]:
    """A task as agents read it: the program that its command names, or holds."""
    said: Mapping[str, Any] = next(
        (one.get("parameters") or {} for one in given.commands if one["name"] == COMMAND), {}
    )
    requirements = said.get("requirements", "")
    script = {name: str(said.get(name, "")) for name in _PROGRAM}
    return {
        "id": task,
        "name": given.name,
        "type": "training",
        "status": status,
        "status_message": "",
        "status_reason": "",
        "user": given.submitter,
        "company": "farmhand",
        "project": str(given.job),
        "parent": None,
        "comment": given.job_name,
        "created": told(given.assigned_at),
        "started": told(given.assigned_at),
        **({"completed": told(given.ended_at)} if given.ended_at is not None else {}),
        "script": {
            **script,
            "binary": script["binary"] or "python",
            "working_dir": script["working_dir"] or ".",
            "diff": str(said.get("script", "")),
            "requirements": {"pip": "\n".join(requirements) if isinstance(requirements, list) else str(requirements)},
        },
        "execution": {"queue": queue_id(given.queue), "parameters": {}, "artifacts": [], "model_labels": {}},
        "container": said.get("container") if isinstance(said.get("container"), dict) else {},
        "hyperparams": {},
        "configuration": {},
        "runtime": {},
        "tags": [],
        "system_tags": [],
    }


# --- workers -----------------------------------------------------------------------------------------------


def name_of(worker: str) -> str:
    """What the worker with this id is called here."""
    return worker_id(PROTOCOL, worker)


class Caller(NamedTuple):
    """Who calls: the credential, its name here, the login (none: it shows its keys each time), and where from."""

    name: str
    session: str
    address: str
    host: str
    key: str = ""
    proof: str = ""


def portrait_of(said: Register, queues: Sequence[str], caller: Caller, usual_s: float) -> Portrait:
    """What a worker is that registers: all of it anew."""
    timeout_s = float(said.timeout or usual_s)
    return Portrait(
        protocol=PROTOCOL,
        foreign_id=said.worker,
        heartbeat_s=min(HEARTBEAT_S, timeout_s),
        lost_after_s=timeout_s,
        software="clearml-agent",
        platform={**_place(said.worker, caller), "tags": said.tags, "system_tags": said.system_tags, "queue": ""},
        kinds=(KIND,),
        queues=tuple(dict.fromkeys(queues)),
        tags=_words(said.tags),
        runners=(COMMAND,),
        slots=1,
    )


def _place(worker: str, caller: Caller) -> dict[str, Any]:
    return {
        "hostname": caller.host or worker,
        "address": caller.address,
        "session": caller.session,
        "user": caller.name,
    }


def reported(said: StatusReport, caller: Caller) -> Portrait:
    """What a report changes: what it leaves out stays, but the queue from which the task came."""
    platform = {**_place(said.worker, caller), "queue": said.queue or ""}
    for name in ("tags", "system_tags"):
        if (tags := getattr(said, name)) is not None:
            platform[name] = tags
    queues = tuple(dict.fromkeys(filter(None, map(queue_name, said.queues or ()))))
    return Portrait(
        protocol=PROTOCOL,
        foreign_id=said.worker,
        platform=platform,
        queues=queues or None,
        tags=None if said.tags is None else _words(said.tags),
    )


def _words(tags: Sequence[str]) -> tuple[str, ...]:
    """Tags by which our tasks may ask for a worker: those that can be one of ours."""
    return tuple(dict.fromkeys(tag for tag in tags if is_queue(tag)))


def sign_of(said: StatusReport) -> Sign:
    """What a report says of its machine. Each is kept; the time at which it came counts."""
    seconds = said.timestamp if said.timestamp < _MILLISECONDS else said.timestamp / 1000
    try:
        at = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        at = None
    return Sign(at=at, active=said.task is not None, stats=_stats(said.machine_stats), kept=Kept.ALWAYS)


#: A call that says no more than that its worker lives.
POLL: Final = Sign(kept=Kept.NEVER)


def _stats(said: MachineStats | None) -> dict[str, Any] | None:
    """A machine's figures as our own agents' are, with theirs beside them: theirs are what their clients ask for."""
    if said is None or not said.model_fields_set:
        return None
    theirs = {key: value if isinstance(value, list) else [value] for key, value in said.model_dump().items()}
    figures: dict[str, Any] = {
        f"{_METRIC}{key}": values for key, values in theirs.items() if values and None not in values
    }
    stats: dict[str, Any] = {"extra": figures, "gpus": _cards(said)}
    if said.cpu_usage:
        stats["cpu_percent"] = sum(said.cpu_usage) / len(said.cpu_usage)
        stats["cores_percent"] = said.cpu_usage
    if said.memory_used is not None:
        stats["memory_used"] = said.memory_used * _MIB
        if said.memory_free is not None:
            stats["memory_total"] = (said.memory_used + said.memory_free) * _MIB
    for name, figure in (("network_received_rate", said.network_rx), ("network_sent_rate", said.network_tx)):
        if figure is not None:
            stats[name] = figure * _MIB
    return stats


def _cards(said: MachineStats) -> list[dict[str, Any]]:
    cards: list[dict[str, Any]] = []
    for number, percent in enumerate(said.gpu_usage):
        card: dict[str, Any] = {"percent": percent}
        if number < len(said.gpu_temperature):
            card["temperature"] = said.gpu_temperature[number]
        if number < len(said.gpu_memory_used):
            card["memory_used"] = said.gpu_memory_used[number] * _MIB
            if number < len(said.gpu_memory_free):
                card["memory_total"] = card["memory_used"] + said.gpu_memory_free[number] * _MIB
        cards.append(card)
    return cards


def metric_of(key: str) -> str:
    """What a metric of theirs is called here."""
    return _METRIC + key


def categories(metrics: Collection[str]) -> list[dict[str, Any]]:
    """Metrics of ours, as keys by what comes before their first `_`."""
    keys = sorted({one.removeprefix(_METRIC) for one in metrics if one.startswith(_METRIC)})
    names = dict.fromkeys(key.partition("_")[0] for key in keys)
    return [{"name": name, "metric_keys": [key for key in keys if key.partition("_")[0] == name]} for name in names]


def written(figures: Sequence[float]) -> str:
    """Figures as a list of JSON, without the digits that their storage made up."""
    # One format for all of them: each by itself takes 0.7 us, so 0.4, and there may be a hundred thousand.
    return "[" + ("%.7g," * len(figures))[:-1] % tuple(figures) + "]"


# --- who is listed -----------------------------------------------------------------------------------------


def passes(tags: Collection[str], wanted: Sequence[str]) -> bool:
    """Whether a worker with *tags* is wanted: it has one of those, if there are any, and none of those with a `-`."""
    plain_ones = {one for one in wanted if not one.startswith("-")}
    barred = {one[1:] for one in wanted if one.startswith("-")}
    return (not plain_ones or not plain_ones.isdisjoint(tags)) and barred.isdisjoint(tags)


def listed(
    one: Registered, tags: Sequence[str], system_tags: Sequence[str], last_seen: int | None, pattern: str | None
) -> bool:
    """Whether a worker is registered, and wanted by each filter that there is."""
    silence_s = (one.now - one.last_seen_at).total_seconds()
    return (
        one.present
        and silence_s <= one.lost_after_s
        and (not last_seen or silence_s <= last_seen)
        and passes(one.platform.get("tags", ()), tags)
        and passes(one.platform.get("system_tags", ()), system_tags)
        and (not pattern or re.fullmatch(glob(pattern.replace("[", "[[]")), one.foreign_id) is not None)
    )


def entry_of(one: Registered, waiting: Mapping[str, int]) -> dict[str, Any]:
    """A worker as clients see it; *waiting*: how many tasks wait in each queue."""
    platform, company = one.platform, {"id": "farmhand", "name": "Farmhand"}
    user = platform.get("user", "")
    entry: dict[str, Any] = {
        "key": f"worker_{company['id']}_{user}_{one.foreign_id}",
        "id": one.foreign_id,
        "user": {"id": user, "name": user},
        "company": company,
        "ip": platform.get("address", ""),
        "register_time": told(one.online_at),
        "register_timeout": round(one.lost_after_s),
        "last_activity_time": told(one.last_seen_at),
        "queue": None,
        "queues": [_queue(name, waiting) for name in one.queues],
        "tags": platform.get("tags", []),
        "system_tags": platform.get("system_tags", []),
    }
    if one.reported_at is not None:
        entry["last_report_time"] = told(one.reported_at)
    source = queue_name(platform.get("queue", ""))
    if source is not None:
        entry["queue"] = _queue(source, waiting)
    if one.held is not None:
        ran_s = (one.now - one.held.since).total_seconds()
        name = one.held.name
        entry["task"] = {
            "id": task_id(one.held.task, one.held.attempt),
            "name": name,
            "running_time": round(ran_s * 1000),
        }
        entry["project"] = {"id": str(one.held.job), "name": one.held.job_name}
    return entry


def _queue(name: str, waiting: Mapping[str, int]) -> dict[str, Any]:
    return {"id": queue_id(name), "name": name, "display_name": name, "num_tasks": waiting.get(name, 0)}


def told(at: datetime) -> str:
    """A time as they write it."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")
