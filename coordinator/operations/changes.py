"""What may change about a job while it runs: its priority, the tags that its tasks require, whether it is kept.

All of it acts on few rows at once, however many tasks the job has: the job's own, and its groups, which point at other
requirements from then on. What runs goes on as it was given.
"""

from dataclasses import dataclass, replace

from coordinator.domain.job import JOB_FINISHED, Job
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, InvalidError, NotFoundError, Request
from coordinator.operations.wanted import Wanted

#: As many tags or labels may a task require (as in a job file).
MOST_TAGS = 32


@dataclass(frozen=True)
class ChangePriority(Request[Changed]):
    """Give the job another place among the others; what runs goes on."""

    job: int
    priority: int
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class ChangeTags(Request[Changed]):
    """Require these tags and labels too, and those no longer, of the workers of all of the job's waiting tasks."""

    job: int
    actor: str
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    add_labels: tuple[str, ...] = ()
    remove_labels: tuple[str, ...] = ()
    reason: str | None = None


@dataclass(frozen=True)
class KeepJob(Request[Changed]):
    """Never archive the job, or (not *keep*) let it be archived as others are."""

    job: int
    actor: str
    keep: bool = True
    reason: str | None = None


def want_job(wanted: Wanted, request: ChangePriority | KeepJob) -> None:
    """The job."""
    wanted.jobs.add(request.job)


def want_groups(wanted: Wanted, request: ChangeTags) -> None:
    """The job and all of its groups."""
    wanted.recurring.groups_of.add(request.job)


def _unfinished(ledger: Ledger, number: int) -> Job:
    job = _job(ledger, number)
    if job.state in JOB_FINISHED:
        raise ConflictError(f"job {number} is {job.state} already; nothing was changed")
    return job


def _job(ledger: Ledger, number: int) -> Job:
    job = ledger.jobs.get(number)
    if job is None:
        raise NotFoundError(f"there is no job {number}")
    return job


def priority(ledger: Ledger, request: ChangePriority) -> Changed:
    """Change the priority: assignment sees it in this very transaction."""
    job = _unfinished(ledger, request.job)
    if job.priority == request.priority:
        return Changed(0)
    detail = {"from": job.priority, "to": request.priority, "reason": request.reason}
    job.priority = ledger.recurring.priorities[job.id] = request.priority
    ledger.work_appeared = True
    ledger.note_job("job.priority_changed", job.id, actor=request.actor, detail=detail)
    return Changed(1)


def tags(ledger: Ledger, request: ChangeTags) -> Changed:
    """Change the requirements of the job's groups; how many of them are others now."""
    job = _unfinished(ledger, request.job)
    changed = 0
    for group in ledger.recurring.groups_of.get(job.id, ()):
        old = ledger.recurring.reclassed.get(group) or ledger.recurring.classes[ledger.groups[group].class_id]
        new = replace(
            old,
            tags=(old.tags | frozenset(request.add)) - frozenset(request.remove),
            labels=(old.labels | frozenset(request.add_labels)) - frozenset(request.remove_labels),
        )
        if max(len(new.tags), len(new.labels)) > MOST_TAGS:
            raise InvalidError(f"job {job.id} would require more than {MOST_TAGS} tags or labels")
        if new != old:
            ledger.recurring.reclassed[group] = new
            changed += 1
    if changed:
        ledger.work_appeared = True
        words = {"add": request.add, "remove": request.remove}
        labels = {"add_labels": request.add_labels, "remove_labels": request.remove_labels}
        said = {name: list(some) for name, some in (words | labels).items() if some}
        ledger.note_job("job.tags_changed", job.id, actor=request.actor, detail={**said, "reason": request.reason})
    return Changed(changed)


def keep(ledger: Ledger, request: KeepJob) -> Changed:
    """Keep the job, or let it go."""
    job = _job(ledger, request.job)
    if job.archived_at is not None:
        raise ConflictError(f"job {job.id} is being archived already")
    ledger.recurring.keeps[job.id] = request.keep
    event = "job.kept" if request.keep else "job.let_go"
    ledger.note_job(event, job.id, actor=request.actor, detail={"reason": request.reason})
    return Changed(1)
