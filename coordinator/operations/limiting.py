"""What people set: how much may run at once, and who gets how large a share. Lowering a limit stops nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from coordinator.domain.budget import Key, Scope
from coordinator.operations.ledger import Ledger
from coordinator.operations.pausing import unfinished
from coordinator.operations.requests import Changed, ConflictError, NotFoundError, Request
from coordinator.operations.wanted import Wanted


@dataclass(frozen=True)
class LimitJob(Request[Changed]):
    """Let workers hold so many of this job's tasks at once (None: as many as they can)."""

    job: int
    limit: int | None
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class SetLimit(Request[Changed]):
    """Let so many tasks of a queue, kind or submitter be held at once, or let the farm have so many of a license.

    None takes the limit away; of a license there are none then.
    """

    scope: Scope
    name: str
    total: int | None
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class SetWeight(Request[Changed]):
    """Give a submitter this weight in fair share (None: 1, as everybody has)."""

    submitter: str
    weight: float | None
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class SetFairShare(Request[Changed]):
    """Turn fair share on or off, for the whole farm."""

    on: bool
    actor: str
    reason: str | None = None


def limit_job(ledger: Ledger, request: LimitJob) -> Changed:
    """Set or take away a job's limit."""
    job = unfinished(ledger, request.job)
    before, job.task_limit = job.task_limit, request.limit
    job.limit_set_at = ledger.now if request.limit is not None else None
    ledger.ruling.dirty_jobs.add(job.id)
    ledger.work_appeared = True
    detail = {"limit": request.limit, "before": before, "reason": request.reason}
    ledger.note_job("job.limited", job.id, actor=request.actor, detail=detail)
    return Changed(1)


def set_limit(ledger: Ledger, request: SetLimit) -> Changed:
    """Set or take away a limit of the farm."""
    ruling, key = ledger.ruling, (request.scope, request.name)
    before = ruling.rules.limits.get(key)
    limits: dict[Key, int] = {other: total for other, total in ruling.rules.limits.items() if other != key}
    if request.total is None:
        if before is None:
            raise NotFoundError(f"there is no limit {request.scope}:{request.name}")
        ruling.changes.append(("remove_limit", (request.scope.value, request.name)))
    else:
        limits[key] = request.total
        values = (request.scope.value, request.name, request.total, ledger.now, request.actor, request.reason)
        ruling.changes.append(("set_limit", values))
    ruling.rules = replace(ruling.rules, limits=limits)
    ledger.work_appeared = True
    event = "limit.set" if request.total is not None else "limit.removed"
    named = f"{request.scope}:{request.name}"
    ledger.note_farm(
        event,
        actor=request.actor,
        detail={"limit": named, "total": request.total, "before": before, "reason": request.reason},
    )
    return Changed(1)


def set_weight(ledger: Ledger, request: SetWeight) -> Changed:
    """Set or take away a submitter's weight."""
    ruling, who = ledger.ruling, request.submitter
    before = ruling.rules.weights.get(who)
    weights = {other: weight for other, weight in ruling.rules.weights.items() if other != who}
    if request.weight is None:
        if before is None:
            raise NotFoundError(f"there is no weight of submitter {who}")
        ruling.changes.append(("remove_weight", (who,)))
    else:
        weights[who] = request.weight
        ruling.changes.append(("set_weight", (who, request.weight, ledger.now, request.actor, request.reason)))
    ruling.rules = replace(ruling.rules, weights=weights)
    event = "weight.set" if request.weight is not None else "weight.removed"
    ledger.note_farm(
        event,
        actor=request.actor,
        detail={"submitter": who, "weight": request.weight, "before": before, "reason": request.reason},
    )
    return Changed(1)


def set_fair_share(ledger: Ledger, request: SetFairShare) -> Changed:
    """Turn fair share on or off."""
    ruling = ledger.ruling
    if ruling.rules.fair is request.on:
        raise ConflictError(f"fair share is {'on' if request.on else 'off'} already")
    ruling.rules = replace(ruling.rules, fair=request.on)
    ruling.changes.append(("set_fair_share", (request.on,)))
    ledger.note_farm(
        "fair_share.on" if request.on else "fair_share.off", actor=request.actor, detail={"reason": request.reason}
    )
    return Changed(1)


def _want_job(wanted: Wanted, request: LimitJob) -> None:
    wanted.jobs.add(request.job)


def _want_rules(wanted: Wanted, _: object) -> None:
    wanted.rules = True


#: Request -> what it needs to see, what applies it.
OPERATIONS: Final[Mapping[type, tuple[Callable[[Wanted, Any], None], Callable[[Ledger, Any], Any]]]] = {
    LimitJob: (_want_job, limit_job),
    SetLimit: (_want_rules, set_limit),
    SetWeight: (_want_rules, set_weight),
    SetFairShare: (_want_rules, set_fair_share),
}
