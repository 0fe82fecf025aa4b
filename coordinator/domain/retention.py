"""Which jobs may be archived: finished ones that nothing holds on to."""

from coordinator.domain.job import JOB_FINISHED, Job


def may_archive(job: Job, *, keep: bool, stopping: int, schedule: str | None) -> str | None:
    """What speaks against archiving *job*; None when nothing does.

    *stopping* of its attempts have not ended, *schedule* has it as its last run.
    """
    if job.archived_at is not None:
        return f"job {job.id} is being archived already"
    if job.state not in JOB_FINISHED:
        return f"job {job.id} is {job.state}: only finished jobs can be archived"
    if keep:
        return f"job {job.id} is kept: farmhand jobs keep {job.id} --off lets it go"
    if stopping:
        return f"job {job.id} still has {stopping} attempts that are stopping: wait for their workers"
    if schedule is not None:
        return f"job {job.id} is the last run of schedule {schedule!r}"
    return None
