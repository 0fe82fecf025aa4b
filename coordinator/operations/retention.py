"""Retention: finished jobs are archived, as one row that says what became of them; then their rows go.

Setting aside is one event in the one inbox: from then on nothing about the job changes, and a report about its tasks
is superseded. What is left to remove is removed beside the writer, in slices.
"""

from dataclasses import dataclass

from coordinator.domain.retention import may_archive
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, NotFoundError, Request
from coordinator.operations.wanted import Wanted

DUTY = "retention"


@dataclass(frozen=True)
class ArchiveJob(Request[Changed]):
    """Archive this finished job now."""

    job: int
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class ArchiveOld:
    """The duty: archive these jobs, which were finished *days* ago when it looked."""

    jobs: tuple[int, ...]
    days: int


def want(wanted: Wanted, request: ArchiveJob | ArchiveOld) -> None:
    """The jobs, and what speaks against their removal."""
    jobs = {request.job} if isinstance(request, ArchiveJob) else set(request.jobs)
    wanted.jobs |= jobs
    wanted.recurring.ties_of |= jobs


def archive(ledger: Ledger, request: ArchiveJob) -> Changed:
    """Archive one, or say why not."""
    job = ledger.jobs.get(request.job)
    if job is None:
        raise NotFoundError(f"there is no job {request.job}, or it is archived")
    ties = ledger.recurring.ties[job.id]
    said = may_archive(job, keep=ties.keep, stopping=ties.stopping, schedule=ties.schedule)
    if said is not None:
        raise ConflictError(said)
    _set_aside(ledger, job.id, request.actor, request.reason)
    return Changed(job.total)


def archive_old(ledger: Ledger, event: ArchiveOld) -> None:
    """Archive those that nothing speaks against."""
    for number in event.jobs:
        job = ledger.jobs.get(number)
        if job is None:
            continue
        ties = ledger.recurring.ties[number]
        if may_archive(job, keep=ties.keep, stopping=ties.stopping, schedule=ties.schedule) is None:
            _set_aside(ledger, number, DUTY, f"finished more than {event.days} days ago")


def _set_aside(ledger: Ledger, number: int, actor: str, reason: str | None) -> None:
    ledger.jobs[number].archived_at = ledger.now
    ledger.recurring.archived.append((number, actor, reason))
    ledger.note_job("job.archived", number, actor=actor, detail={"reason": reason})
