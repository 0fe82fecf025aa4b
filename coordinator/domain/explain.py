"""All that stands between a task and a worker, from the rules that assignment asks.

`against` puts the generators of `matching` and `worker` together, for one worker and one task; `explain` counts what
they say of all workers: a funnel, the workers that lack least, and the reasons. If a single worker has nothing against
it, no reason is left on the side of the workers.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from coordinator.domain.matching import Free, TaskClass, averse, misfits, reserved, shortage
from coordinator.domain.reason import Count, Kind, Reason
from coordinator.domain.rest import words_of
from coordinator.domain.why import LINES, STAGES, Found
from coordinator.domain.worker import Worker, unwilling

#: As many of the workers that lack least are named.
MOST_NEAREST: Final = 3
#: What a worker is because somebody asked it to be.
_ASKED: Final = (Reason.ASLEEP, Reason.DRAINING, Reason.TESTING, Reason.QUARANTINED, Reason.ASKED_TO_STOP)
#: Requirements that are told although every worker meets them.
_ALWAYS: Final = (Reason.NO_QUEUE, Reason.NO_KIND, Reason.GONE, Reason.ASLEEP, Reason.BUSY)


@dataclass(frozen=True, slots=True)
class Near:
    """A worker, and all that it lacks for the task, in words."""

    worker: str
    reasons: tuple[Reason, ...]
    lacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of the funnel: so many workers are left that meet this requirement and all before it."""

    words: str
    workers: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a task waits: the reasons in order, the funnel, the nearest workers. No reason: it can start now."""

    reasons: tuple[Found, ...]
    funnel: tuple[Step, ...] = ()
    nearest: tuple[Near, ...] = ()
    able: int = 0  # workers that have nothing against it


def against(
    worker: Worker,
    free: Free,
    need: TaskClass,
    failed_on: Collection[str],
    everyone: Iterable[Worker],
    blocked: Collection[str] = (),
) -> Iterator[Reason]:
    """All that is against giving this worker this task now; nothing exactly when assignment would allow it."""
    yield from misfits(worker, need)
    yield from unwilling(worker)
    yield from reserved(worker, need)
    yield from averse(worker, need, failed_on, everyone, blocked)
    yield from shortage(free, need)


def explain(
    need: TaskClass,
    workers: Sequence[tuple[Worker, Free]],
    *,
    failed_on: Collection[str] = (),
    blocked: Collection[str] = (),
    before: Iterable[Found] = (),
    ready: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Explanation:
    """Why no worker gets a task of this class. *before* is what holds the task or its group back, whoever is free.

    Of a task that is not *ready* only those reasons against workers count that would last.
    """
    everyone = [worker for worker, _ in workers]
    lacking = {worker.id: tuple(against(worker, free, need, failed_on, everyone, blocked)) for worker, free in workers}
    known = {**(facts or {}), **_facts(need)}
    steps = _funnel(need, lacking.values())
    known |= _boasts(need, everyone)
    reasons = [*before, *_of_workers({one.id: one for one in everyone}, lacking, steps, known, ready=ready)]
    return Explanation(
        tuple(sorted(reasons, key=lambda found: found.reason.place)),
        tuple(_told(steps, known)),
        tuple(_nearest(workers, lacking, known)),
        sum(not one for one in lacking.values()),
    )


def _of_workers(
    workers: Mapping[str, Worker],
    lacking: Mapping[str, tuple[Reason, ...]],
    steps: Sequence[tuple[Reason, int]],
    facts: Mapping[str, Any],
    *,
    ready: bool,
) -> Iterator[Found]:
    if not lacking:
        yield Found(Reason.NO_WORKER, facts)
        return
    if not all(lacking.values()):
        return
    able = {name: reasons for name, reasons in lacking.items() if not any(map(_lasts, reasons))}
    if not able:
        yield from _never(lacking, steps, facts)
    elif ready:
        counts = Counter(reason for reasons in able.values() for reason in reasons)
        for reason, count in counts.items():
            some = [name for name, reasons in able.items() if reason in reasons]
            more = ["…"] if len(some) > MOST_NEAREST else []
            names = ", ".join([*some[:MOST_NEAREST], *more])
            words = [f"{one}{words}" for one in some[:MOST_NEAREST] if (words := words_of(workers[one]))]
            each = f": {'; '.join([*words, *more])}" if words else ""
            since = workers[some[0]].requested_at if reason in _ASKED else None
            told = {"workers": Count(count), "first": some[0], "names": names, "each": each, "since": since}
            yield Found(reason, {**facts, **told, "forecast": "", "ahead": ""})


def _never(
    lacking: Mapping[str, tuple[Reason, ...]], steps: Sequence[tuple[Reason, int]], facts: Mapping[str, Any]
) -> Iterator[Found]:
    """The requirement at which the last worker drops out, and those that no worker meets at all."""
    left, last = len(lacking), None
    for reason, after in steps:
        none = all(reason in reasons for reasons in lacking.values())
        if _lasts(reason) and (none or (left and not after)):
            among = f" (of {left:,} that {last})" if last and left and not none else ""
            yield Found(reason, {**facts, "workers": Count(len(lacking)), "among": among, "nearest": _one(lacking)})
        left, last = after, STAGES[reason].passes.format_map(facts)


def _one(lacking: Mapping[str, tuple[Reason, ...]]) -> str:
    return min(lacking, key=lambda name: (len(lacking[name]), name))


def _lasts(reason: Reason) -> bool:
    return LINES[reason].kind is Kind.NEVER


def _funnel(need: TaskClass, lacking: Collection[tuple[Reason, ...]]) -> list[tuple[Reason, int]]:
    """What is required, in order, with how many workers are left after it; what nobody lacks is left out if obvious."""
    asked = {*_ALWAYS}
    asked |= {Reason.NO_TAG} if need.tags else set()
    asked |= {Reason.NO_LABEL} if need.labels else set()
    asked |= {Reason.NO_ZONE} if need.zone else set()
    asked |= {Reason.NO_SUPERVISOR} if need.exclusive else set()
    asked |= {Reason.NO_SECRET} if need.secrets else set()
    asked |= {Reason.NO_LIMIT} if need.limits else set()
    dropped = Counter(min(reasons, key=lambda reason: reason.place) for reasons in lacking if reasons)
    left, steps = len(lacking), []
    for reason in STAGES:
        left -= dropped[reason]
        if reason in asked or any(reason in reasons for reasons in lacking):
            steps.append((reason, left))
    return steps


def _told(steps: Sequence[tuple[Reason, int]], facts: Mapping[str, Any]) -> list[Step]:
    """The steps in words; neighbours with the same words are one."""
    told: list[Step] = []
    for reason, left in steps:
        step = Step(STAGES[reason].passes.format_map(facts), left)
        if told and told[-1].words == step.words:
            told.pop()
        told.append(step)
    return told


def _nearest(
    workers: Sequence[tuple[Worker, Free]], lacking: Mapping[str, tuple[Reason, ...]], facts: Mapping[str, Any]
) -> Iterator[Near]:
    def distance(pair: tuple[Worker, Free]) -> tuple[int, int, str]:
        reasons = lacking[pair[0].id]
        return len(reasons), sum(map(_lasts, reasons)), pair[0].id

    for worker, free in sorted((pair for pair in workers if lacking[pair[0].id]), key=distance)[:MOST_NEAREST]:
        own = {**facts, "free": max(0, free.slots), "all": Count(worker.slots), "connection": worker.connection.value}
        own["rest"] = words_of(worker)
        reasons = lacking[worker.id]
        yield Near(worker.id, reasons, tuple(STAGES[reason].lacks.format_map(own) for reason in reasons))


def _facts(need: TaskClass) -> dict[str, Any]:
    return {
        "queue": need.queue,
        "kind": need.kind,
        "zone": need.zone or "",
        "tags": _words("tag", need.tags),
        "labels": _words("label", need.labels),
        "commands": _words("command", need.runners),
        "secrets": _words("secret", need.secrets),
        "limits": _words("limit", need.limits),
        "words": " ".join(sorted(need.labels)),
        "slots": Count(need.slots),
        "size": size_of(need),
        "among": "",
        "nearest": "NAME",
    }


def _boasts(need: TaskClass, workers: Sequence[Worker]) -> dict[str, str]:
    """Who comes closest to what nobody has: the largest worker, and who calls itself what it is not approved for."""
    largest = []
    for name, asked in (("slots", need.slots), ("cpus", need.cpus), ("memory_mb", need.memory_mb), ("gpus", need.gpus)):
        most = max(workers, key=lambda one: getattr(one, name), default=None)
        if most is not None and getattr(most, name) < asked:
            largest.append(f"{_amount(name, getattr(most, name))} ({most.id})")
    claiming = [one.id for one in workers if need.labels and need.labels <= {*one.tags, *one.labels}]
    return {
        "largest": f": the most is {', '.join(largest)}" if largest else "",
        "claims": f"; {claiming[0]} says so itself (a tag), which is not approved" if claiming else "",
    }


def _words(noun: str, words: Collection[str]) -> str:
    several = sorted(words)
    return f"{noun} {''.join(several)}" if len(several) <= 1 else f"all {noun}s {', '.join(several)}"


def size_of(need: TaskClass) -> str:
    """What a task of this class takes, in words."""
    asked = {"slots": need.slots, "cpus": need.cpus, "memory_mb": need.memory_mb, "gpus": need.gpus}
    return ", ".join(_amount(name, amount) for name, amount in asked.items() if amount)


def _amount(name: str, amount: float) -> str:
    match name:
        case "cpus":
            return f"{amount:g} cpus"
        case "memory_mb":
            return f"{amount / 1024:.3g} GiB of memory"
        case _:
            return format(Count(amount), name.removesuffix("s"))
