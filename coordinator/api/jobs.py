"""Jobs: submit, list, look at, cancel, requeue."""

from typing import Annotated

from fastapi import APIRouter, Response
from fastapi.responses import FileResponse

from coordinator.api.bodies import SUBMISSION_BYTES, body_of
from coordinator.api.document import accepts
from coordinator.api.farm import Actor, FarmHere
from coordinator.api.outputs import copy_of
from coordinator.api.parameters import After, Before, Id, Limit, Text
from coordinator.operations.limiting import LimitJob
from coordinator.operations.pausing import PauseJob, ResumeJob
from coordinator.operations.requests import CancelJob, RequeueFailed, SubmitJob, UnblockWorkers
from schemas.job import JobSpec
from schemas.views import (
    BlockView,
    Changed,
    Entry,
    JobDetail,
    JobLimit,
    JobState,
    JobView,
    JobWhy,
    Page,
    Reason,
    RequeueJob,
    Submitted,
    TaskState,
    TaskView,
    Unblock,
)

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post("", status_code=201, openapi_extra=accepts(JobSpec))
async def submit(
    farm: FarmHere, actor: Actor, response: Response, spec: Annotated[JobSpec, body_of(JobSpec, SUBMISSION_BYTES)]
) -> Submitted:
    """Submit a job. 201 when it was made, 200 when an earlier submission with the same key made it."""
    if not spec.submitter:
        spec = spec.model_copy(update={"submitter": actor})
    done = await farm.ask(SubmitJob(spec, actor))
    if not done.created:
        response.status_code = 200
    response.headers["Location"] = f"/api/v1/jobs/{done.job}"
    return Submitted(job=done.job, created=done.created, tasks=done.tasks)


@router.get("")
async def jobs(
    farm: FarmHere, state: JobState | None = None, submitter: Text = None, before: Before = None, limit: Limit = 100
) -> Page[JobView]:
    """Jobs, the newest first."""
    return await farm.views.jobs(state=state, submitter=submitter, before=before, limit=limit)


@router.get("/{job}")
async def job(farm: FarmHere, job: Id) -> JobDetail:
    """One job, and why its ready tasks wait."""
    return await farm.views.job(job)


@router.get("/{job}/why")
async def why(farm: FarmHere, job: Id) -> JobWhy:
    """Why its unfinished tasks wait, sort by sort."""
    return await farm.views.why_job(job)


@router.get("/{job}/tasks")
async def tasks(
    farm: FarmHere, job: Id, state: TaskState | None = None, after: After = 0, limit: Limit = 100
) -> Page[TaskView]:
    """Its tasks, in their order."""
    return await farm.views.tasks(job, state=state, after=after, limit=limit)


@router.get("/{job}/blocklist")
async def blocklist(farm: FarmHere, job: Id) -> list[BlockView]:
    """Who gets no more tasks of some kind in the job."""
    return await farm.views.blocklist(job)


@router.post("/{job}/unblock", openapi_extra=accepts(Unblock))
async def unblock(farm: FarmHere, actor: Actor, job: Id, body: Annotated[Unblock, body_of(Unblock)]) -> Changed:
    """Let workers have tasks of the job again."""
    done = await farm.ask(UnblockWorkers(job, actor, tuple(body.workers), body.kind, body.reason))
    return Changed(count=done.count)


@router.get("/{job}/picture", response_class=FileResponse)
async def picture(farm: FarmHere, job: Id) -> FileResponse:
    """Its newest picture that there is a copy of; the headers say of which task."""
    found = await farm.views.picture(job)
    return copy_of(farm, found, {"X-Farmhand-Task": str(found.task), "X-Farmhand-Attempt": str(found.attempt)})


@router.get("/{job}/story")
async def story(farm: FarmHere, job: Id, after: After = 0, limit: Limit = 100) -> Page[Entry]:
    """What happened to the job as a whole."""
    return await farm.views.story_of_job(job, after=after, limit=limit)


@router.post("/{job}/cancel", openapi_extra=accepts(Reason))
async def cancel(farm: FarmHere, actor: Actor, job: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Cancel all of its tasks that are not finished."""
    done = await farm.ask(CancelJob(job, actor, body.reason))
    return Changed(count=done.count, continues=done.continues)


@router.post("/{job}/pause", openapi_extra=accepts(Reason))
async def pause(farm: FarmHere, actor: Actor, job: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Give no more of its tasks to workers; what runs goes on."""
    return Changed(count=(await farm.ask(PauseJob(job, actor, body.reason))).count)


@router.post("/{job}/resume", openapi_extra=accepts(Reason))
async def resume(farm: FarmHere, actor: Actor, job: Id, body: Annotated[Reason, body_of(Reason)]) -> Changed:
    """Give its tasks to workers again."""
    return Changed(count=(await farm.ask(ResumeJob(job, actor, body.reason))).count)


@router.put("/{job}/limit", openapi_extra=accepts(JobLimit))
async def limit(farm: FarmHere, actor: Actor, job: Id, body: Annotated[JobLimit, body_of(JobLimit)]) -> Changed:
    """Let workers hold so many of its tasks at once."""
    return Changed(count=(await farm.ask(LimitJob(job, body.limit, actor, body.reason))).count)


@router.post("/{job}/requeue", openapi_extra=accepts(RequeueJob))
async def requeue(farm: FarmHere, actor: Actor, job: Id, body: Annotated[RequeueJob, body_of(RequeueJob)]) -> Changed:
    """Start the next run of its failed (and, if asked, canceled) tasks."""
    done = await farm.ask(RequeueFailed(job, actor, body.reason, body.canceled))
    return Changed(count=done.count, continues=done.continues)
