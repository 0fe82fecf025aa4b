"""Schedules: their instants become jobs, each once.

A due instant is decided in one transaction under the farm's lock: the job is made, the run is written and the schedule
goes on to its next instant, all or nothing. The job's key is made of the schedule's name and the instant, so that
coordinators that look at the same moment submit it once.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from coordinator.domain.schedule import Missed, Overlap, due, next_after
from coordinator.operations import submission, templates
from coordinator.operations.ledger import Ledger
from coordinator.operations.recurring import Run, Schedule
from coordinator.operations.requests import (
    Changed,
    ConflictError,
    InvalidError,
    NotFoundError,
    RefusedError,
    Request,
    SubmitJob,
)
from coordinator.operations.submission import Draft
from coordinator.operations.wanted import Wanted
from schemas.job import JobSpec
from schemas.template import ScheduleSpec


@dataclass(frozen=True)
class CreateSchedule(Request[Changed]):
    """Begin to submit at the instants of this schedule."""

    spec: ScheduleSpec
    actor: str


@dataclass(frozen=True)
class PauseSchedule(Request[Changed]):
    """Let the instants pass until it is resumed."""

    name: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class ResumeSchedule(Request[Changed]):
    """Go on with the next instant; those that passed meanwhile were not missed."""

    name: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class RemoveSchedule(Request[Changed]):
    """Forget it. Its jobs go on."""

    name: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class RunSchedule(Request[Any]):
    """Submit now what the next instant would, whatever it does about overlaps."""

    name: str
    actor: str
    reason: str | None = None


@dataclass(frozen=True)
class FireSchedules:
    """The duty: decide the due instants of these schedules."""

    names: tuple[str, ...]


OneSchedule = PauseSchedule | ResumeSchedule | RemoveSchedule | RunSchedule


def key_of(schedule: Schedule, instant: datetime) -> str:
    """The idempotency key of the job of *instant*."""
    return f"schedule/{schedule.name}/{instant.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def keys_due(schedule: Schedule, now: datetime) -> list[str]:
    """The keys of the instants that are due: storage looks whether their jobs are there already."""
    if schedule.paused_at is not None or schedule.next_at is None or schedule.next_at > now:
        return []
    return [key_of(schedule, instant) for instant in _due(schedule, schedule.next_at, now).fires]


def _due(schedule: Schedule, next_at: datetime, now: datetime) -> Any:
    return due(
        schedule.cron,
        schedule.timezone,
        next_at=next_at,
        now=now,
        missed=schedule.missed,
        most_missed=schedule.most_missed,
        overlap=schedule.overlap,
    )


# --- what is needed ----------------------------------------------------------------------------------------


def want_new(wanted: Wanted, request: CreateSchedule) -> None:
    """The name must be free, the template there."""
    wanted.recurring.schedules.add(request.spec.name)
    if request.spec.template is not None:
        wanted.recurring.templates.add((request.spec.template, request.spec.template_version))


def want_one(wanted: Wanted, request: OneSchedule) -> None:
    """The schedule, its template, and what a submission needs."""
    wanted.recurring.schedules.add(request.name)
    wanted.kinds = wanted.kinds or isinstance(request, RunSchedule)


def want_due(wanted: Wanted, event: FireSchedules) -> None:
    """The schedules, their templates, and what submissions need."""
    wanted.recurring.schedules.update(event.names)
    wanted.kinds = True


# --- requests ----------------------------------------------------------------------------------------------


def create(ledger: Ledger, request: CreateSchedule) -> Changed:
    """Begin."""
    spec = request.spec
    if spec.name in ledger.recurring.schedules:
        raise ConflictError(f"there is a schedule {spec.name!r} already: remove it first")
    try:
        next_at = next_after(spec.cron, spec.timezone, ledger.now)
    except ValueError as error:
        raise InvalidError(str(error)) from None
    if next_at is None:
        raise InvalidError(f"{spec.cron!r} names no instant within fifty years")
    if spec.template is not None:
        templates.job_of(templates.find(ledger, spec.template, spec.template_version).spec, spec.parameters, {})
    made = Schedule(
        spec.name,
        spec.cron,
        spec.timezone,
        Missed(spec.missed),
        spec.most_missed,
        Overlap(spec.overlap),
        spec.job.model_dump(mode="json", exclude_defaults=True) if spec.job is not None else None,
        spec.template,
        spec.template_version,
        spec.parameters,
        next_at,
        request.actor,
    )
    ledger.recurring.schedules[made.name] = made
    ledger.recurring.new_schedules.append(made)
    detail = {"schedule": made.name, "cron": made.cron, "timezone": made.timezone}
    ledger.note_farm("schedule.created", actor=request.actor, detail=detail)
    return Changed(1)


def find(ledger: Ledger, name: str) -> Schedule:
    """The schedule, or `NotFoundError`."""
    found = ledger.recurring.schedules.get(name)
    if found is None:
        raise NotFoundError(f"there is no schedule {name!r}; farmhand schedules lists them")
    return found


def pause(ledger: Ledger, request: PauseSchedule) -> Changed:
    """Let instants pass."""
    one = find(ledger, request.name)
    if one.paused_at is not None:
        raise ConflictError(f"schedule {one.name!r} is paused already, by {one.paused_by}")
    one.paused_at, one.paused_by, one.pause_reason = ledger.now, request.actor, request.reason
    ledger.recurring.dirty_schedules.add(one.name)
    ledger.note_farm("schedule.paused", actor=request.actor, detail={"schedule": one.name, "reason": request.reason})
    return Changed(1)


def resume(ledger: Ledger, request: ResumeSchedule) -> Changed:
    """Go on."""
    one = find(ledger, request.name)
    if one.paused_at is None:
        raise ConflictError(f"schedule {one.name!r} is not paused")
    one.paused_at = one.paused_by = one.pause_reason = None
    one.next_at = next_after(one.cron, one.timezone, ledger.now)
    ledger.recurring.dirty_schedules.add(one.name)
    ledger.note_farm("schedule.resumed", actor=request.actor, detail={"schedule": one.name, "reason": request.reason})
    return Changed(1)


def remove(ledger: Ledger, request: RemoveSchedule) -> Changed:
    """Forget it."""
    one = find(ledger, request.name)
    del ledger.recurring.schedules[one.name]
    ledger.recurring.dirty_schedules.discard(one.name)
    ledger.recurring.removed_schedules.append(one)
    ledger.note_farm("schedule.removed", actor=request.actor, detail={"schedule": one.name, "reason": request.reason})
    return Changed(1)


def run(ledger: Ledger, request: RunSchedule) -> Draft:
    """Submit now; the writer makes the job."""
    one = find(ledger, request.name)
    key = f"schedule/{one.name}/by-hand/{ledger.now.astimezone(UTC).isoformat()}"
    made = _draft(ledger, one, ledger.now, key, request.actor)
    ledger.recurring.runs.append(Run(one, ledger.now, "submitted", by_hand=True, draft=made))
    detail = {"schedule": one.name, "reason": request.reason, "by_hand": True}
    ledger.note_farm("schedule.fired", actor=request.actor, detail=detail)
    return made


# --- the duty ----------------------------------------------------------------------------------------------


def fire(ledger: Ledger, event: FireSchedules) -> None:
    """Decide what is due: each instant once, whoever else looks."""
    for name in event.names:
        one = ledger.recurring.schedules.get(name)
        if one is None or one.paused_at is not None or one.next_at is None or one.next_at > ledger.now:
            continue
        found = _due(one, one.next_at, ledger.now)
        one.next_at = found.next_at
        ledger.recurring.dirty_schedules.add(name)
        if found.passed:
            count = f"{found.passed} or more runs" if found.passed > 1 else "1 run"
            _note(ledger, Run(one, found.newest_passed, "missed", detail=f"{count} passed over (missed: {one.missed})"))
        for instant in found.fires:
            _fire(ledger, one, instant)


def _fire(ledger: Ledger, one: Schedule, instant: datetime) -> None:
    key = key_of(one, instant)
    if key in ledger.job_keys:
        _note(ledger, Run(one, instant, "submitted", job_id=ledger.job_keys[key]))
        return
    if one.unfinished and one.overlap is Overlap.SKIP:
        _note(ledger, Run(one, instant, "overlapped", detail=f"job {one.unfinished[0]} is not finished"))
        return
    try:
        made = _draft(ledger, one, instant, key, f"schedule/{one.name}")
    except RefusedError as refusal:
        _note(ledger, Run(one, instant, "refused", detail=str(refusal)[:1000]))
        return
    if one.overlap is Overlap.REPLACE:
        for job in one.unfinished:
            _replace(ledger, one, job)
    one.unfinished.append(0)  # the job that is being made: it has no number yet
    ledger.recurring.drafts.append(made)
    _note(ledger, Run(one, instant, "submitted", draft=made))


def _replace(ledger: Ledger, one: Schedule, number: int) -> None:
    job = ledger.jobs.get(number)
    if job is not None and job.cancel_requested_at is None:
        job.cancel_requested_at = ledger.now
        job.cancel_reason = f"replaced by the next run of schedule {one.name}"
        ledger.dirty_jobs.add(number)
        ledger.recurring.canceling.add(number)
        detail = {"reason": job.cancel_reason}
        ledger.note_job("job.cancel_requested", number, actor=f"schedule/{one.name}", detail=detail)


def _note(ledger: Ledger, one: Run) -> None:
    ledger.recurring.runs.append(one)
    detail: dict[str, Any] = {"schedule": one.schedule.name, "instant": one.instant.isoformat()}
    if one.detail:
        detail["why"] = one.detail
    event = "schedule.fired" if one.outcome == "submitted" else f"schedule.{one.outcome}"
    ledger.note_farm(event, actor=f"schedule/{one.schedule.name}", detail=detail)


def _draft(ledger: Ledger, one: Schedule, instant: datetime, key: str, actor: str) -> Draft:
    origin: dict[str, Any] = {"schedule": one.name, "instant": instant.isoformat()}
    if one.template is not None:
        template = templates.find(ledger, one.template, one.template_version)
        origin |= {"template": template.name, "version": template.version}
        spec = templates.job_of(template.spec, one.parameters, {"key": key})
    else:
        spec = JobSpec.model_validate({**(one.job or {}), "key": key})
    if not spec.submitter:
        spec = spec.model_copy(update={"submitter": one.created_by})
    return submission.draft(ledger, SubmitJob(spec, actor, origin))
