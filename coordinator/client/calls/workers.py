"""The calls about workers, queues and capacity."""

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter

from coordinator.client.calls.call import Call, change, get, part, read_as
from schemas.views import CapacityView, Changed, Entry, IdleView, Page, QueueView, WorkerDetail, WorkerView

if TYPE_CHECKING:
    from schemas.views import SleepSchedule


def workers(
    *,
    connection: str | None = None,
    duty: str | None = None,
    queue: str | None = None,
    after: str = "",
    limit: int = 100,
) -> Call[Page[WorkerView]]:
    """Workers, by name."""
    query = {"connection": connection, "duty": duty, "queue": queue, "after": after, "limit": limit}
    return get("workers", Page[WorkerView], **query)


def worker(worker: str) -> Call[WorkerDetail]:
    """One worker, its machine and what it holds."""
    return get(f"workers/{part(worker)}", WorkerDetail)


def request_worker_state(
    worker: str,
    state: str,
    *,
    lazy: bool = True,
    reason: str | None = None,
    within_s: float | None = None,
    only_from: str | None = None,
) -> Call[Changed]:
    """Ask a worker to be awake, asleep, drain, testing, error, quarantined, offline or restart: after what it holds
    (`lazy`; at once after `within_s` seconds), or at once. `only_from`: only if it has this duty or is asked for it."""
    more: dict[str, Any] = {"within_s": within_s, "only_from": only_from}
    said = {name: value for name, value in more.items() if value is not None}
    return change(f"workers/{part(worker)}/state", state=state, lazy=lazy, reason=reason, **said)


def remove_worker(worker: str, *, reason: str | None = None) -> Call[Changed]:
    """Forget a worker that is gone."""
    return change(f"workers/{part(worker)}", method="DELETE", reason=reason)


def set_sleep_schedule(worker: str, schedule: "SleepSchedule | None") -> Call[Changed]:
    """Let a worker sleep by this schedule from now on, or by none."""
    path = f"workers/{part(worker)}/sleep"
    if schedule is None:
        return change(path, method="DELETE")
    return Call("PUT", path, partial(read_as, Changed), body=schedule.model_dump_json().encode())


def set_idle_policy(worker: str | None, action: str | None, *, after_s: float = 1800.0) -> Call[Changed]:
    """What is done (off, notify, stop) when a worker, or without a name each that has no policy of its own, is idle for
    so long. Without an *action* the worker has the farm's policy."""
    path = "idle" if worker is None else f"workers/{part(worker)}/idle"
    if action is None:
        return change(path, method="DELETE")
    return change(path, method="PUT", action=action, after_s=after_s)


def idle_default() -> Call[IdleView]:
    """What is done about idle workers that have no policy of their own."""
    return get("idle", IdleView)


def label_worker(worker: str, labels: list[str]) -> Call[Changed]:
    """Approve exactly these labels."""
    return change(f"workers/{part(worker)}/labels", method="PUT", labels=labels)


def story_of_worker(worker: str, *, after: int = 0, limit: int = 100) -> Call[Page[Entry]]:
    """What happened to a worker."""
    return get(f"workers/{part(worker)}/story", Page[Entry], after=after, limit=limit)


def queues() -> Call[list[QueueView]]:
    """The queues that somebody waits in, works in or serves."""
    adapter = TypeAdapter(list[QueueView])
    return Call("GET", "queues", lambda response: adapter.validate_json(response.content))


def capacity() -> Call[CapacityView]:
    """How many more workers the waiting tasks could use, and which could be stopped without loss."""
    return get("capacity", CapacityView)
