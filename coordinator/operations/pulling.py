"""What workers that ask for their work say of it, where their protocol has the farm judge each of their calls.

Our own agents report an end until they get a verdict, and hear a revocation. These say once what they have done, ask
now and then whether they may go on, and learn from the answer that they may not. The answer is read from the rows in
the same transaction: whose the attempt is, whether it is live, what is asked of the worker.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from coordinator.domain.attempt import Attempt, AttemptState
from coordinator.domain.worker import Asked, Connection, Duty, Worker
from coordinator.operations import claiming, foreign, reports, states, tasks
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Request
from coordinator.operations.signs import Caller, Glimpse
from coordinator.operations.wanted import Wanted
from schemas.envelope import FromWorker
from schemas.task import Outcome, TaskFinished, TaskProgress, TaskStarted, Verdict

#: As long a word of what a task is doing is kept, and of what went wrong.
LONGEST_ACTIVITY: Final = 200
LONGEST_ERROR: Final = 4000


@dataclass(frozen=True, slots=True)
class Seen:
    """An attempt as its worker is told of it. `known`: there is one of this number; `own`: it is the worker's.

    `live`: the task is its; `taken`: this very report is what the row holds now. `state` is the task's.
    """

    standing: foreign.Standing
    known: bool = False
    own: bool = False
    live: bool = False
    taken: bool = False
    state: str = ""


@dataclass(frozen=True)
class MayRun(Request[Seen]):
    """The worker asks whether it may go on with an attempt."""

    worker: str
    task: int
    attempt: int


@dataclass(frozen=True)
class Tell(Request[Seen]):
    """The worker says what becomes of an attempt: that it runs, how far it is (`done` of its steps), how it ended."""

    worker: str
    task: int
    attempt: int
    runs: bool = False
    done: int | None = None
    activity: str | None = None
    outcome: Outcome | None = None


@dataclass(frozen=True)
class Look(Request[foreign.Standing]):
    """The worker asks what it is to be."""

    worker: str


@dataclass(frozen=True)
class Turn(Request[foreign.Standing]):
    """The worker has another duty now: *duty*, or what that means where something was asked of it (*meant*).

    Who does not work any more has stopped what it ran: that is ready again.
    """

    worker: str
    duty: Duty
    meant: Mapping[Asked, Duty] = field(default_factory=dict)


def want_glance(wanted: Wanted, request: MayRun) -> None:
    """Who asks, and how it stands with the attempt."""
    foreign.want_caller(wanted, request)
    wanted.glances.add((request.task, request.attempt))


def want_attempt(wanted: Wanted, request: Tell) -> None:
    """The attempt, and who tells of it."""
    wanted.workers.add(request.worker)
    foreign.want_caller(wanted, request)
    wanted.attempts.add((request.task, request.attempt))
    if request.outcome is Outcome.COMPLETED:
        wanted.dependents_of.add(request.task)


def may_run(ledger: Ledger, request: MayRun) -> Seen:
    """It lives, and is told how things stand."""
    return _seen(ledger, _heard(ledger, request.worker), request)


def tell(ledger: Ledger, request: Tell) -> Seen:
    """Apply what its own attempt says; what comes for another's changes nothing."""
    _heard(ledger, request.worker)
    worker = states.find(ledger, request.worker)
    attempt = ledger.attempts.get((request.task, request.attempt))
    if attempt is None or attempt.worker_id != worker.id:
        return _seen(ledger, worker, request)
    was_live, taken = attempt.live, False
    message = FromWorker.model_construct(
        worker=worker.id, epoch=worker.epoch, instance=worker.instance, seq=0, sent_at=ledger.now, events=[]
    )
    if was_live:
        _go_on(ledger, message, attempt, request)
    if request.outcome is not None:
        reports.finished(ledger, message, _end(request, attempt))
        verdicts = ledger.outgoing.verdicts.pop(worker.id)
        taken = verdicts[-1][2] is Verdict.ACCEPTED
    return _seen(ledger, worker, request, taken=taken or (was_live and request.outcome is None))


def _go_on(ledger: Ledger, message: FromWorker, attempt: Attempt, request: Tell) -> None:
    task, number = attempt.task_id, attempt.attempt
    if request.runs:
        reports.started(ledger, message, TaskStarted(task=task, attempt=number))
    if (request.done, request.activity) == (None, None):
        return
    total = attempt.total or 0
    done = min(request.done, total) if request.done is not None else attempt.done or 0
    activity = request.activity if request.activity is not None else attempt.activity
    told = activity[:LONGEST_ACTIVITY] if activity else activity
    reports.progress(ledger, message, TaskProgress(task=task, attempt=number, done=done, total=total, activity=told))


def _end(request: Tell, attempt: Attempt) -> TaskFinished:
    failed = request.outcome is Outcome.FAILED
    error = (request.activity or attempt.activity or "the worker says that it failed")[:LONGEST_ERROR]
    return TaskFinished(
        task=request.task,
        attempt=request.attempt,
        outcome=request.outcome or Outcome.INTERRUPTED,
        error=error if failed else None,
    )


def look(ledger: Ledger, request: Look) -> foreign.Standing:
    """It lives."""
    return foreign.standing(ledger, _heard(ledger, request.worker))


def turn(ledger: Ledger, request: Turn) -> foreign.Standing:
    """Take over its duty."""
    _heard(ledger, request.worker)
    worker = states.find(ledger, request.worker)
    asked = Asked(worker.requested_state) if worker.requested_state else None
    duty = request.meant.get(asked, request.duty) if asked is not None else request.duty
    if duty not in (Duty.AWAKE, Duty.TESTING, Duty.STARTING):
        for attempt in list(ledger.held[worker.id].values()):
            if attempt.state is AttemptState.STOPPING or claiming.is_of_former_life(worker, attempt):
                tasks.lose(ledger, attempt, "the worker has stopped it")
            else:
                tasks.give_back(ledger, attempt)
    states.take_duty(ledger, worker, duty, None)
    return foreign.standing(ledger, worker)


def _heard(ledger: Ledger, name: str) -> Worker | Caller:
    """The worker, which lives: who was given up is online again; who said goodbye has to arrive first."""
    caller = foreign.only_calls(ledger, name)
    if caller is not None:
        foreign.note(ledger, caller, foreign.LIVES)
        return caller
    worker = states.find(ledger, name)
    if worker.connection is not Connection.OFFLINE:
        foreign.come_back(ledger, worker)
    foreign.note(ledger, worker, foreign.LIVES)
    return worker


def _seen(ledger: Ledger, worker: Worker | Caller, request: MayRun | Tell, *, taken: bool = False) -> Seen:
    key = (request.task, request.attempt)
    attempt, standing = ledger.attempts.get(key), foreign.standing(ledger, worker)
    if attempt is not None:
        seen = Glimpse(attempt.worker_id, attempt.live, ledger.tasks[attempt.task_id].state)
    elif key in ledger.foreign.glimpses:
        seen = ledger.foreign.glimpses[key]
    else:
        return Seen(standing)
    own = seen.worker_id == worker.id
    return Seen(standing, known=True, own=own, live=own and seen.live, taken=taken, state=seen.task_state.value)


OPERATIONS: Final[Mapping[type, tuple[Callable[[Wanted, Any], None], Callable[[Ledger, Any], Any]]]] = {
    MayRun: (want_glance, may_run),
    Tell: (want_attempt, tell),
    Look: (foreign.want_caller, look),
    Turn: (foreign.want, turn),
}
