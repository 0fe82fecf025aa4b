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
from coordinator.domain.why import LINES, STAGES, Count, Found, Kind, Reason
from coordinator.domain.worker import Worker, unwilling

#: As many of the workers that lack least are named.
MOST_NEAREST: Final = 3
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
    reasons = [*before, *_of_workers(lacking, steps, known, ready=ready)]
    return Explanation(
        tuple(sorted(reasons, key=lambda found: found.reason.place)),
        tuple(_told(steps, known)),
        tuple(_nearest(workers, lacking, known)),
        sum(not one for one in lacking.values()),
    )


def _of_workers(
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
            names = ", ".join([*some[:MOST_NEAREST], *(["…"] if len(some) > MOST_NEAREST else [])])
            yield Found(reason, {**facts, "workers": Count(count), "first": some[0], "names": names})


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
        reasons = lacking[worker.id]
        yield Near(worker.id, reasons, tuple(STAGES[reason].lacks.format_map(own) for reason in reasons))


def _facts(need: TaskClass) -> dict[str, Any]:
    return {
        "queue": need.queue,
        "kind": need.kind,
        "zone": need.zone or "",
        "tags": _words("tag", need.tags),
        "labels": _words("label", need.labels),
        "words": " ".join(sorted(need.labels)),
        "slots": Count(need.slots),
        "size": size_of(need),
        "among": "",
        "nearest": "NAME",
    }


def _words(noun: str, words: Collection[str]) -> str:
    several = sorted(words)
    return f"{noun} {several[0]}" if len(several) == 1 else f"all {noun}s {', '.join(several)}"


def size_of(need: TaskClass) -> str:
    """What a task of this class takes, in words."""
    amounts = [f"{Count(need.slots):slot}"]
    if need.cpus:
        amounts.append(f"{need.cpus:g} cpus")
    if need.memory_mb:
        amounts.append(f"{need.memory_mb / 1024:.3g} GiB of memory")
    if need.gpus:
        amounts.append(f"{Count(need.gpus):gpu}")
    return ", ".join(amounts)
