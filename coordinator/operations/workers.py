"""What happens to workers: they come, leave, change their duty, and say what they hold."""

from collections.abc import Iterable
from uuid import UUID

from coordinator.domain.clones import MOST_ARRIVALS, Arrival, are_clones, arrived
from coordinator.domain.liveness import shows_life, turn
from coordinator.domain.protocol import is_native
from coordinator.domain.reconcile import Difference, compare
from coordinator.domain.worker import (
    PRESENT,
    Connection,
    Duty,
    Worker,
    WorkerEvent,
    continues,
    is_outstanding,
    is_own,
)
from coordinator.operations import late, reports, states, tasks
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, InvalidError, LabelWorker
from schemas.envelope import FromWorker
from schemas.task import Held, Outcome, Phase
from schemas.worker import WorkerHeartbeat, WorkerOffline, WorkerOnline, WorkerStateChanged


def is_current(worker: Worker | None, instance: UUID, epoch: int) -> bool:
    """Whether a message of this instance and epoch concerns the worker as it is now."""
    return worker is not None and worker.connection in PRESENT and worker.instance == instance and worker.epoch == epoch


# --- coming and going --------------------------------------------------------------------------------------


def online(ledger: Ledger, message: FromWorker, event: WorkerOnline) -> None:
    """The worker is here. A new instance starts a new epoch, and what it does not list is lost."""
    worker = ledger.workers.get(message.worker)
    if worker is not None and not is_native(worker):
        raise ConflictError(f"the name {worker.id!r} belongs to a {worker.protocol} worker")
    if worker is None:
        worker = _new(message, event)
        ledger.workers[worker.id] = worker
        ledger.held[worker.id] = {}
        ledger.new_workers.add(worker.id)
        worker.arrivals = [Arrival(str(worker.instance), event.boot_id, ledger.now).stored()]
        ledger.note_worker("worker.online", worker.id, detail={"epoch": worker.epoch, "software": event.software})
    elif not continues(worker, message.instance):
        _new_epoch(ledger, worker, message, event)
    elif worker.connection is Connection.SUSPECT:
        ledger.note_worker("worker.back", worker.id)
    _describe(worker, event)
    states.take_duty(ledger, worker, Duty(event.duty), None)
    turn(worker, WorkerEvent.CAME, ledger.now)
    ledger.dirty_workers.add(worker.id)
    ledger.seen_workers[worker.id] = message.seq
    ledger.capacity_at.add(worker.id)
    keep = _answer_holds(ledger, worker, event)
    ledger.outgoing.welcomes[worker.id] = keep
    if is_outstanding(worker, Duty(event.duty), runs=runs(event.holds)):
        ledger.outgoing.requests.add(worker.id)


def _new(message: FromWorker, event: WorkerOnline) -> Worker:
    return Worker(
        id=message.worker,
        connection=Connection.OFFLINE,
        duty=Duty(event.duty),
        epoch=1,
        instance=message.instance,
        kinds=event.kinds,
        queues=event.queues,
        slots=event.capacity.slots,
    )


def _describe(worker: Worker, event: WorkerOnline) -> None:
    """Take over what a worker says of itself; labels are not its to say."""
    worker.boot_id, worker.software, worker.platform = event.boot_id, event.software, event.platform.model_dump()
    worker.kinds, worker.queues, worker.tags, worker.zone = event.kinds, event.queues, event.tags, event.zone
    worker.slots, worker.cpus = event.capacity.slots, event.capacity.cpus
    worker.memory_mb, worker.gpus = event.capacity.memory_mb, event.capacity.gpus
    worker.can_restart = event.can_restart
    worker.supervises = event.supervises
    worker.runners, worker.secrets, worker.enforces = event.runners, event.secrets, event.enforces
    worker.connection_name = event.connection


def _new_epoch(ledger: Ledger, worker: Worker, message: FromWorker, event: WorkerOnline) -> None:
    listed = {(held.task, held.attempt) for held in event.holds}
    worker.epoch += 1
    worker.reason = None
    if worker.instance != message.instance:
        worker.instance = message.instance
        states.begin_instance(ledger, worker)
        _notice_clones(ledger, worker, event.boot_id)
    for key, attempt in list(ledger.held[worker.id].items()):
        if key in listed:
            attempt.epoch = worker.epoch
            attempt.seen_seq = message.seq
            ledger.dirty_attempts.add(key)
        else:
            tasks.lose(ledger, attempt, "the worker came back without it")
    ledger.note_worker("worker.online", worker.id, detail={"epoch": worker.epoch, "software": event.software})


def _notice_clones(ledger: Ledger, worker: Worker, boot_id: str) -> None:
    """Two agents that take turns under one name get nothing more, until somebody has found out which is to stay."""
    before = [Arrival.read(one) for one in worker.arrivals]
    arrivals = arrived(before, Arrival(str(worker.instance), boot_id, ledger.now))
    worker.arrivals = [one.stored() for one in arrivals[-MOST_ARRIVALS:]]
    if are_clones(arrivals):
        worker.arrivals = []
        boots = sorted({one.boot_id for one in arrivals})
        reason = f"two agents take turns under this name (started on {len(boots)} boots: {', '.join(boots)})"[:400]
        states.quarantine(ledger, worker, by="farmhand", reason=reason, at_once=True)


def _answer_holds(ledger: Ledger, worker: Worker, event: WorkerOnline) -> list[tuple[int, int]]:
    """The attempts to keep; missed verdicts are told again."""
    keep = []
    for held in event.holds:
        row = ledger.attempts.get((held.task, held.attempt))
        if row is not None and row.worker_id == worker.id and row.live:
            keep.append((held.task, held.attempt))
            if held.phase is Phase.RUNNING:
                reports.begin(ledger, row)
        elif held.phase is Phase.FINISHED:
            _answer(ledger, worker.id, held.task, held.attempt, held.outcome)
    return keep


def _answer(ledger: Ledger, worker: str, task: int, attempt: int, outcome: Outcome | None) -> None:
    row = ledger.attempts.get((task, attempt))
    said = outcome or Outcome.COMPLETED
    if row is not None and row.worker_id == worker and said is Outcome.COMPLETED and late.is_welcome(ledger, row):
        return
    ledger.outgoing.verdicts[worker].append((task, attempt, reports.verdict_of(row, worker, said)))


def offline(ledger: Ledger, message: FromWorker, event: WorkerOffline) -> None:
    """Goodbye: handed-back attempts are ready again, no retry burnt; what is not mentioned is lost."""
    worker = ledger.workers.get(message.worker)
    if worker is None or worker.instance != message.instance or not turn(worker, WorkerEvent.LEFT, ledger.now):
        return
    handed_back = {(held.task, held.attempt) for held in event.handed_back}
    for key, attempt in list(ledger.held[worker.id].items()):
        if key in handed_back:
            tasks.give_back(ledger, attempt)
        else:
            tasks.lose(ledger, attempt, "the worker left")
    worker.reason = event.reason
    states.end_instance(ledger, worker, Duty(event.duty) if event.duty else None)
    ledger.dirty_workers.add(worker.id)
    ledger.note_worker("worker.offline", worker.id, detail={"reason": event.reason, "handed_back": len(handed_back)})


def state_changed(ledger: Ledger, message: FromWorker, event: WorkerStateChanged) -> None:
    """The worker's duty is now another."""
    worker = ledger.workers.get(message.worker)
    if worker is None or not is_current(worker, message.instance, message.epoch):
        ledger.outgoing.resets[message.worker] = "your epoch is over"
        return
    if event.refused is not None:
        states.refuse(ledger, worker, event.refused, event.reason)
    states.take_duty(ledger, worker, Duty(event.duty), event.reason)


def runs(holds: Iterable[Held]) -> bool:
    """Whether some of what a worker holds is still to be run."""
    return any(held.phase in (Phase.RECEIVED, Phase.RUNNING) for held in holds)


# --- heartbeats that show a difference ---------------------------------------------------------------------


def beat(ledger: Ledger, message: FromWorker, event: WorkerHeartbeat) -> None:
    """A heartbeat that does not agree with the rows: believe the worker on what it holds, the rows on what it may."""
    worker = ledger.workers.get(message.worker)
    if worker is None or not is_current(worker, message.instance, message.epoch):
        ledger.outgoing.resets[message.worker] = "your epoch is over"
        return
    suspect = worker.connection is Connection.SUSPECT and shows_life(worker, ledger.now)
    if suspect and turn(worker, WorkerEvent.HEARD, ledger.now):
        ledger.dirty_workers.add(worker.id)
        ledger.capacity_at.add(worker.id)
        ledger.note_worker("worker.back", worker.id)
    states.take_duty(ledger, worker, Duty(event.duty), None)
    if is_outstanding(worker, Duty(event.duty), runs=runs(event.holds)):
        ledger.outgoing.requests.add(worker.id)
    outcomes = {(held.task, held.attempt): held.outcome for held in event.holds}
    listed = [(held.task, held.attempt, held.phase) for held in event.holds]
    for finding in compare(ledger.held[worker.id], listed, message.seq):
        key = (finding.task, finding.attempt)
        match finding.difference:
            case Difference.FORGOTTEN:
                tasks.lose(ledger, ledger.attempts[key], "the worker does not hold it any more")
            case Difference.BEGUN:
                ledger.attempts[key].seen_seq = message.seq
                reports.begin(ledger, ledger.attempts[key])
            case Difference.RECEIVED:
                ledger.attempts[key].sent_at = ledger.now
                ledger.dirty_attempts.add(key)
            case Difference.STOP:
                ledger.outgoing.revocations[worker.id].append((*key, "superseded"))
            case Difference.ANSWER:
                _answer(ledger, worker.id, *key, outcomes[key])


# --- requests ----------------------------------------------------------------------------------------------


def label(ledger: Ledger, request: LabelWorker) -> Changed:
    """Approve labels."""
    worker = states.find(ledger, request.worker)
    own = next((label for label in request.labels if is_own(label)), None)
    if own is not None:
        raise InvalidError(f"label {own} is a worker's own name; it cannot be given or taken away")
    before, worker.labels = worker.labels, sorted(set(request.labels))
    ledger.dirty_workers.add(worker.id)
    ledger.capacity_at.add(worker.id)
    ledger.note_worker(
        "worker.labelled", worker.id, actor=request.actor, detail={"before": before, "after": worker.labels}
    )
    return Changed(1)
