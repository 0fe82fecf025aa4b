"""Every event that can be put into the inbox: what it needs to see, and what applies it. All on one screen."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, cast

from coordinator.domain.liveness import MISSED_BEATS_LATE
from coordinator.domain.task import TaskState
from coordinator.operations import (
    access,
    blocklist,
    changes,
    claiming,
    duties,
    foreign,
    jobs,
    judging,
    limiting,
    messages,
    parking,
    pausing,
    pulling,
    retention,
    schedules,
    states,
    submission,
    tasks,
    templates,
    tending,
    workers,
)
from coordinator.operations.access import CreateToken, RevokeToken
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Parking
from coordinator.operations.requests import (
    CancelJob,
    CancelTasks,
    Changed,
    DropParked,
    LabelWorker,
    NotFoundError,
    RecordOutput,
    RemoveWorker,
    Request,
    RequestWorkerState,
    RequeueFailed,
    RequeueTasks,
    SetIdleDefault,
    SetIdlePolicy,
    SetSleepSchedule,
    SubmitJob,
    ThawZone,
    UnblockWorkers,
)
from coordinator.operations.wanted import Wanted
from schemas.envelope import FromWorker
from schemas.task import (
    TaskFinished,
    TaskOutput,
    TaskProgress,
    TaskStarted,
    Verdict,
)
from schemas.worker import WorkerStateChanged

SWEEP_EVERY: Final = timedelta(seconds=1)


@dataclass(frozen=True)
class Sweep:
    """The duty of each second: what is due, what was not delivered, what can be assigned."""


@dataclass(frozen=True)
class Canary:
    """A coordinator's message to itself. Nothing to apply."""


@dataclass(frozen=True)
class GrowJob:
    """Make the next slice of a job's tasks (the writer does; nothing to apply)."""

    job: int


@dataclass(frozen=True)
class CancelMore:
    """Cancel the next slice of a job's tasks."""

    job: int


@dataclass(frozen=True)
class Operation:
    """`want` says what *event* needs to see, `apply` changes the ledger and gives the answer."""

    want: Callable[[Wanted, Any], None]
    apply: Callable[[Ledger, Any], Any]


# --- duties ------------------------------------------------------------------------------------------------


def _want_sweep(wanted: Wanted, _: Sweep) -> None:
    wanted.due = wanted.overdue = wanted.undelivered = True
    wanted.duties.add("sweep")


def _apply_sweep(ledger: Ledger, _: Sweep) -> None:
    if duties.is_due(ledger, "sweep", SWEEP_EVERY):
        duties.expire(ledger)
        duties.make_due(ledger)
        duties.stop_overdue(ledger)
        duties.send_again(ledger)
        ledger.work_appeared = True


# --- silence -----------------------------------------------------------------------------------------------


def _want_silence(wanted: Wanted, event: judging.JudgeSilence) -> None:
    wanted.guards = True
    wanted.silent_s = MISSED_BEATS_LATE * event.patience.heartbeat_s


def _want_closed(wanted: Wanted, event: judging.ConnectionClosed) -> None:
    wanted.guards = True
    wanted.holders.add(event.worker)


def _want_guards(wanted: Wanted, _: Any) -> None:
    wanted.guards = True


# --- parked messages that are applied after all -----------------------------------------------------------


@dataclass(frozen=True)
class Replay(Request[Any]):
    """Apply what a parked message says, and close its row: both or neither."""

    parked: int
    actor: str
    events: tuple[Any, ...]


def _want_replay(wanted: Wanted, replay: Replay) -> None:
    wanted.parked.add(replay.parked)
    for event in replay.events:
        OPERATIONS[type(event)].want(wanted, event)


def _replay(ledger: Ledger, replay: Replay) -> Any:
    message = parking.open_one(ledger, replay.parked)
    ledger.closed_parked.append((message.id, "replayed", replay.actor))
    answers = [OPERATIONS[type(event)].apply(ledger, event) for event in replay.events]
    return answers[0] if len(answers) == 1 else None


# --- workers behind gateways -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reported:
    """What a worker is answered: its standing, and a verdict for each end that it reported."""

    standing: foreign.Standing
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True)
class Report(Request[Reported]):
    """A gateway's worker says what our own agents say of their tasks and of their duty, but no more than that."""

    worker: str
    events: tuple[TaskStarted | TaskProgress | TaskOutput | TaskFinished | WorkerStateChanged, ...]
    sign: foreign.Sign = foreign.LIVES


def _want_report(wanted: Wanted, request: Report) -> None:
    foreign.want(wanted, request)
    messages.want(wanted, cast("FromWorker", request))


def _report(ledger: Ledger, request: Report) -> Reported:
    worker = states.find(ledger, request.worker)
    message = FromWorker.model_construct(
        worker=worker.id,
        epoch=worker.epoch,
        instance=worker.instance,
        seq=0,
        sent_at=ledger.now,
        events=list(request.events),
    )
    messages.apply(ledger, message)
    verdicts = ledger.outgoing.verdicts.pop(worker.id, [])
    foreign.note(ledger, worker, request.sign)
    return Reported(foreign.standing(ledger, worker), tuple(verdict for _, _, verdict in verdicts))


# --- the rest ----------------------------------------------------------------------------------------------


def _record_output(ledger: Ledger, request: RecordOutput) -> Changed:
    attempt = ledger.attempts.get((request.task, request.attempt))
    if attempt is None or attempt.worker_id != request.worker:
        raise NotFoundError(f"worker {request.worker!r} has no attempt {request.attempt} of task {request.task}")
    ledger.outputs.append((request.task, request.attempt, request.file, None))
    return Changed(1)


def _want_submit(wanted: Wanted, request: SubmitJob) -> None:
    wanted.kinds = True
    wanted.rules = wanted.rules or any(task.licenses for task in request.spec.tasks)
    if request.spec.key is not None:
        wanted.keys.add(request.spec.key)


def _want_tasks(wanted: Wanted, request: CancelTasks | RequeueTasks) -> None:
    wanted.tasks.update(request.tasks)
    if isinstance(request, RequeueTasks):
        wanted.dependents_of.update(request.tasks)


def _want_cancel(wanted: Wanted, event: CancelJob | CancelMore) -> None:
    wanted.slices[event.job] = jobs.UNFINISHED


def _want_requeue(wanted: Wanted, request: RequeueFailed) -> None:
    states = {TaskState.FAILED, TaskState.CANCELED} if request.canceled else {TaskState.FAILED}
    wanted.slices[request.job] = frozenset(states)


def _want_unblock(wanted: Wanted, request: UnblockWorkers) -> None:
    wanted.jobs.add(request.job)
    wanted.marks_of.add(request.job)


def _cancel_more(ledger: Ledger, event: CancelMore) -> Changed:
    return jobs.cancel_slice(ledger, event.job, "farmhand") if event.job in ledger.jobs else Changed(0)


def _want_tend(wanted: Wanted, _: tending.Tend) -> None:
    wanted.tending = True


def _want_idle(wanted: Wanted, _: tending.TendIdle) -> None:
    wanted.idle = True


def _want_gone(wanted: Wanted, event: tending.RemoveGone) -> None:
    wanted.gone_for = event.after


def _nothing(_: Any, __: Any) -> None:
    return None


#: The inbox takes these. `SubmitJob` answers with a `Draft`, which the writer turns into a job.
OPERATIONS: Final[Mapping[type, Operation]] = {
    FromWorker: Operation(messages.want, messages.apply),
    Parking: Operation(_nothing, parking.park),
    Canary: Operation(_nothing, _nothing),
    Sweep: Operation(_want_sweep, _apply_sweep),
    judging.JudgeSilence: Operation(_want_silence, judging.judge_silent),
    judging.ConnectionClosed: Operation(_want_closed, judging.closed),
    judging.ConnectionMade: Operation(lambda wanted, event: wanted.workers.add(event.worker), judging.made),
    judging.CoordinatorClosed: Operation(_nothing, judging.coordinator_closed),
    ThawZone: Operation(_want_guards, judging.thaw),
    GrowJob: Operation(lambda wanted, event: wanted.growing.add(event.job), _nothing),
    CancelMore: Operation(_want_cancel, _cancel_more),
    SubmitJob: Operation(_want_submit, submission.draft),
    CancelJob: Operation(_want_cancel, jobs.cancel),
    RequeueFailed: Operation(_want_requeue, jobs.requeue_failed),
    UnblockWorkers: Operation(_want_unblock, blocklist.unblock_workers),
    CancelTasks: Operation(_want_tasks, tasks.cancel_tasks),
    RequeueTasks: Operation(_want_tasks, tasks.requeue_tasks),
    tending.Tend: Operation(_want_tend, tending.tend),
    tending.TendIdle: Operation(_want_idle, tending.tend_idle),
    tending.RemoveGone: Operation(_want_gone, tending.remove_gone),
    SetSleepSchedule: Operation(lambda wanted, r: wanted.holders.add(r.worker), tending.set_schedule),
    SetIdlePolicy: Operation(lambda wanted, r: wanted.workers.add(r.worker), tending.set_idle_policy),
    SetIdleDefault: Operation(_nothing, tending.set_idle_default),
    RemoveWorker: Operation(lambda wanted, r: wanted.holders.add(r.worker), tending.remove),
    RequestWorkerState: Operation(lambda wanted, r: wanted.holders.add(r.worker), states.request_state),
    LabelWorker: Operation(lambda wanted, r: wanted.workers.add(r.worker), workers.label),
    parking.LookAtParked: Operation(parking.want, parking.look),
    Replay: Operation(_want_replay, _replay),
    DropParked: Operation(parking.want, parking.drop),
    changes.ChangePriority: Operation(changes.want_job, changes.priority),
    changes.ChangeTags: Operation(changes.want_groups, changes.tags),
    changes.KeepJob: Operation(changes.want_job, changes.keep),
    retention.ArchiveJob: Operation(retention.want, retention.archive),
    retention.ArchiveOld: Operation(retention.want, retention.archive_old),
    templates.CreateTemplate: Operation(templates.want, templates.create),
    templates.RemoveTemplate: Operation(templates.want, templates.remove),
    templates.LookAtTemplate: Operation(templates.want, templates.look),
    schedules.CreateSchedule: Operation(schedules.want_new, schedules.create),
    schedules.PauseSchedule: Operation(schedules.want_one, schedules.pause),
    schedules.ResumeSchedule: Operation(schedules.want_one, schedules.resume),
    schedules.RemoveSchedule: Operation(schedules.want_one, schedules.remove),
    schedules.RunSchedule: Operation(schedules.want_one, schedules.run),
    schedules.FireSchedules: Operation(schedules.want_due, schedules.fire),
    **{
        request: Operation(want, apply)
        for request, (want, apply) in (
            *pausing.OPERATIONS.items(),
            *limiting.OPERATIONS.items(),
            *pulling.OPERATIONS.items(),
            *foreign.OPERATIONS.items(),
        )
    },
    Report: Operation(_want_report, _report),
    claiming.Claim: Operation(foreign.want, claiming.claim),
    RecordOutput: Operation(lambda wanted, r: wanted.attempts.add((r.task, r.attempt)), _record_output),
    CreateToken: Operation(access.want_new, access.create),
    access.Enlist: Operation(access.want_enlist, access.enlist),
    RevokeToken: Operation(lambda wanted, r: wanted.tokens.add(r.name), access.revoke),
}
