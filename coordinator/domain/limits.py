"""What the rules mean for the groups that wait now: claims, holds, budgets and shares, from what is held.

A farm without rules pays for looking at its groups once, in memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from coordinator.domain.budget import Budgets, Claims, Key, Rules, Scope, Shares
from coordinator.domain.matching import Group, TaskClass


@dataclass(frozen=True, slots=True)
class Held:
    """Attempts that have not ended, of one class, submitter, and job (None where the job has no limit)."""

    class_id: int
    submitter: str
    job_id: int | None
    count: int


def restricted(groups: Iterable[Group], classes: Mapping[int, TaskClass], rules: Rules) -> list[Group]:
    """The groups with what they claim, and with the hold of their queue if it is paused."""
    limited = bool(rules.limits or rules.paused)
    return [
        _restricted(group, classes[group.class_id], rules)
        if limited or group.job_limit is not None or classes[group.class_id].licenses
        else group
        for group in groups
    ]


def _restricted(group: Group, need: TaskClass, rules: Rules) -> Group:
    own: Claims = () if group.job_limit is None else (((Scope.JOB, str(group.job_id)), 1),)
    claims = own + rules.claims(need.counted(group.submitter))
    return replace(group, claims=claims, hold=group.hold or rules.paused.get(need.queue))


def contended(groups: Iterable[Group], classes: Mapping[int, TaskClass]) -> bool:
    """Whether several submitters have jobs of equal priority in one queue: only then are there shares to compare."""
    first: dict[tuple[str, int], str] = {}
    return any(
        first.setdefault((classes[group.class_id].queue, group.job_priority), group.submitter) != group.submitter
        for group in groups
    )


def budgets_of(
    groups: Iterable[Group], held: Iterable[Held], classes: Mapping[int, TaskClass], rules: Rules
) -> Budgets:
    """What is left of every limit that there is, when *held* is in use."""
    totals: dict[Key, int] = dict(rules.limits)
    totals |= {(Scope.JOB, str(group.job_id)): group.job_limit for group in groups if group.job_limit is not None}
    used: dict[Key, int] = {}
    for one in held:
        _add(used, one.job_id, classes[one.class_id], one.submitter, one.count)
    return Budgets(totals, used)


def shares_of(
    held: Iterable[Held],
    classes: Mapping[int, TaskClass],
    rules: Rules,
    turns: Mapping[tuple[str, str], int],
) -> Shares:
    """Who has how much of which queue."""
    slots: dict[tuple[str, str], int] = {}
    for one in held:
        need = classes[one.class_id]
        slots[need.queue, one.submitter] = slots.get((need.queue, one.submitter), 0) + need.slots * one.count
    return Shares(rules.weights, slots, turns)


def freed_by(ended: Sequence[Held], classes: Mapping[int, TaskClass]) -> dict[Key, int]:
    """What *ended* gives back to the budgets."""
    freed: dict[Key, int] = {}
    for one in ended:
        _add(freed, one.job_id, classes[one.class_id], one.submitter, one.count)
    return freed


def _add(sums: dict[Key, int], job_id: int | None, need: TaskClass, submitter: str, count: int) -> None:
    counted = need.counted(submitter)
    if job_id is not None:
        counted.append(((Scope.JOB, str(job_id)), 1))
    for key, amount in counted:
        sums[key] = sums.get(key, 0) + amount * count
