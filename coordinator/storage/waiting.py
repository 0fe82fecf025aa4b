"""Why a task does not run yet, in one sentence that says what to do.

Pure: facts that were read go in, a sentence comes out. The requirements are explained in the order in which they
exclude workers, and the first that leaves nobody is the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.views import Waiting, WaitingClass


@dataclass(frozen=True, slots=True)
class Funnel:
    """What a class of tasks requires, and how many workers are left after each requirement."""

    queue: str
    kind: str
    zone: str | None
    tags: Sequence[str]
    labels: Sequence[str]
    slots: int
    cpus: float
    memory_mb: int
    gpus: int
    workers: int
    of_queue: int
    of_kind: int
    of_zone: int
    of_tags: int
    of_labels: int
    of_supervised: int
    capable: int
    suspect: int
    gone: int
    resting: int
    awake: int
    with_slots: int
    free: int


@dataclass(frozen=True, slots=True)
class Need:
    """The first task that is still waited for, of `needs` in all."""

    task: int
    name: str
    state: str
    needs: int


def blocked(unmet: int, need: Need | None) -> Waiting:
    """Why a blocked task waits: *need* is the dependency that stands most in its way."""
    if need is None:
        return Waiting(code="dependency", kind=WaitingClass.SELF, sentence=f"Waits for {_count(unmet, 'task')}.")
    if need.state in ("failed", "canceled"):
        verb = "failed" if need.state == "failed" else "was canceled"
        return Waiting(
            code="dependency_never",
            kind=WaitingClass.NEVER,
            sentence=f"Needs task {need.task} ({need.name}), which {verb}: requeue {need.task} or cancel this one.",
        )
    if need.state == "completed":
        return Waiting(
            code="promotion",
            kind=WaitingClass.SELF,
            sentence=f"Waits until the outputs of task {need.task} ({need.name}) are at their published path.",
        )
    return Waiting(
        code="dependency",
        kind=WaitingClass.SELF,
        sentence=f"Waits for {unmet} of {_count(need.needs, 'task')}; the first is task {need.task} ({need.name}).",
    )


def scheduled(not_before: datetime, now: datetime, failures: int) -> Waiting:
    """Why a scheduled task waits."""
    seconds = max(0, round((not_before - now).total_seconds()))
    if failures:
        sentence = f"Failed {_count(failures, 'time')}; tries again in {seconds} s."
        return Waiting(code="backoff", kind=WaitingClass.SELF, sentence=sentence)
    return Waiting(code="not_before", kind=WaitingClass.SELF, sentence=f"Starts in {seconds} s.")


def leased(worker: str, free_at: datetime, now: datetime) -> Waiting:
    """Why an exclusive task waits that may still run somewhere."""
    seconds = max(0, round((free_at - now).total_seconds()))
    return Waiting(
        code="leased",
        kind=WaitingClass.SELF,
        sentence=f"It is exclusive and may still run on {worker}: it can go on in {seconds} s, or as soon as that "
        "worker says that it has ended.",
    )


def assigned(worker: str, assigned_at: datetime, now: datetime) -> Waiting:
    """Why an assigned task does not run: its worker has not said that it started."""
    seconds = max(0, round((now - assigned_at).total_seconds()))
    return Waiting(
        code="undelivered",
        kind=WaitingClass.DELIVERY,
        sentence=f"Given to worker {worker} {seconds} s ago, which has not started it yet.",
    )


def ready(funnel: Funnel) -> Waiting:
    """Why a ready task was given to nobody."""
    return _never(funnel) or _later(funnel)


def _never(f: Funnel) -> Waiting | None:
    if not f.workers:
        answer = "no_worker", "The farm has no workers yet: start farmhand-agent on a machine."
    elif not f.of_queue:
        answer = "no_queue", f"No worker serves queue {f.queue}."
    elif not f.of_kind:
        answer = "no_kind", f"No worker offers kind {f.kind}{_among(f.of_queue, f'queue {f.queue}')}."
    elif not f.of_zone:
        answer = "no_zone", f"No worker is in zone {f.zone}{_among(f.of_kind, f'kind {f.kind}')}."
    elif not f.of_tags:
        answer = "no_tag", f"No worker has {_words('tag', f.tags)}{_among(f.of_zone, f'kind {f.kind}')}."
    elif not f.of_labels:
        remedy = f"approve with: farmhand workers label NAME {' '.join(f.labels)}"
        answer = "no_label", f"No worker has {_words('label', f.labels)}{_among(f.of_tags, f'kind {f.kind}')}; {remedy}"
    elif not f.of_supervised:
        among = _among(f.of_labels, f"kind {f.kind}")
        remedy = "those that are processes of their own can be, such as exec"
        answer = "no_supervisor", f"It is exclusive, and no worker can supervise its commands{among}: {remedy}."
    elif not f.capable:
        answer = "too_big", f"Asks for {_size(f)}; none of {_count(f.of_supervised, 'worker')} is that large."
    else:
        return None
    return Waiting(code=answer[0], kind=WaitingClass.NEVER, sentence=answer[1])


def _later(f: Funnel) -> Waiting:
    if not f.awake:
        states = [
            f"{count} {word}"
            for count, word in (
                (f.resting, "not taking work (asleep, draining or asked to stop)"),
                (f.suspect, "not heard from"),
                (f.gone, "offline or lost"),
            )
            if count
        ]
        could = _count(f.capable, "worker")
        return Waiting(code="away", kind=WaitingClass.LATER, sentence=f"{could} could run it: {', '.join(states)}.")
    if not f.with_slots:
        sentence = "The only capable worker is busy." if f.awake == 1 else f"All {f.awake} capable workers are busy."
        return Waiting(code="busy", kind=WaitingClass.LATER, sentence=sentence)
    if not f.free:
        sentence = f"{_count(f.with_slots, 'worker')} with free slots, but none has {_size(f)} left."
        return Waiting(code="resources", kind=WaitingClass.LATER, sentence=sentence)
    return Waiting(
        code="next_pass", kind=WaitingClass.TURN, sentence=f"Can start now: {_count(f.free, 'worker')} with room."
    )


def funnel(row: Mapping[str, Any]) -> Funnel:
    """The funnel in a row of the query of that name."""
    return Funnel(**{name: row[name] for name in Funnel.__dataclass_fields__})


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _among(count: int, what: str) -> str:
    return f" among the {count} for {what}" if count > 1 else f" (1 for {what})"


def _words(noun: str, words: Sequence[str]) -> str:
    return f"{noun} {words[0]}" if len(words) == 1 else f"all {noun}s {', '.join(words)}"


def _size(f: Funnel) -> str:
    amounts = [_count(f.slots, "slot")]
    if f.cpus:
        amounts.append(f"{f.cpus:g} cpus")
    if f.memory_mb:
        amounts.append(f"{f.memory_mb / 1024:.3g} GiB of memory")
    if f.gpus:
        amounts.append(_count(f.gpus, "gpu"))
    return ", ".join(amounts)
