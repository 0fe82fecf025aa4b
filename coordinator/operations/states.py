"""What workers are asked for, and what they make of it.

Whoever asks (an operator, a schedule, a policy, the farm itself) comes through `ask`; a request is a row until it has
ended as the table of effects says. `quarantine` is one call for every rule that finds a worker unfit.
"""

from datetime import timedelta

from coordinator.domain.asking import Ask, Place, Source, decide, kept, resumed
from coordinator.domain.outcome import Refused
from coordinator.domain.protocol import cannot, protocol_of
from coordinator.domain.worker import EFFECTS, KEEPS, PRESENT, Asked, Duty, Ends, Worker, fulfilled
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, NotFoundError, RequestWorkerState
from schemas.worker import RequestedState


def find(ledger: Ledger, name: str) -> Worker:
    """The worker of this name. Raises NotFoundError."""
    worker = ledger.workers.get(name)
    if worker is None:
        raise NotFoundError(f"there is no worker {name!r}")
    return worker


# --- asking ------------------------------------------------------------------------------------------------


def request_state(ledger: Ledger, request: RequestWorkerState) -> Changed:
    """An operator asks a worker to change its state; kept until it has."""
    worker, state = find(ledger, request.worker), Asked(request.state)
    if impossible := cannot(worker, state):
        raise ConflictError(impossible)
    if EFFECTS[state].ends is Ends.INSTANCE and worker.connection not in PRESENT:
        raise ConflictError(f"worker {worker.id} is {worker.connection}; there is nothing to {state}")
    if state is Asked.RESTART and not worker.can_restart:
        raise ConflictError(f"worker {worker.id} cannot restart by itself; use stop and start it by hand")
    if request.only_from is not None and request.only_from not in (worker.duty, worker.requested_state):
        raise ConflictError(f"worker {worker.id} is not {request.only_from}; it is {worker.duty}")
    if state is Asked.AWAKE and worker.duty is Duty.AWAKE and worker.requested_state is None:
        return Changed(0)
    within = timedelta(seconds=request.within_s) if request.within_s is not None and request.lazy else None
    ask(
        ledger,
        worker,
        Ask(
            state=state,
            source=Source.OPERATOR,
            by=request.actor,
            at=ledger.now,
            reason=request.reason,
            lazy=request.lazy,
            deadline_at=ledger.now + within if within is not None else None,
        ),
    )
    return Changed(1)


def ask(ledger: Ledger, worker: Worker, wish: Ask) -> bool:
    """Make *wish* the worker's request, now or when it is back. False when something stronger stands."""
    place = decide(worker, wish)
    if isinstance(place, Refused):
        return False
    if place is Place.BENEATH:
        worker.resume = (
            None if EFFECTS[wish.state].ends is Ends.DONE else kept(wish.state, wish.source, wish.by, wish.reason)
        )
    else:
        worker.resume = resumed(worker, wish)
        _put(ledger, worker, wish)
    ledger.dirty_workers.add(worker.id)
    ledger.note_worker(
        f"worker.{wish.state}_requested",
        worker.id,
        actor=wish.by,
        detail={
            "reason": wish.reason,
            "lazy": wish.lazy,
            **({"deadline": wish.deadline_at.isoformat()} if wish.deadline_at else {}),
            **({"when": "when it is back"} if place is Place.BENEATH else {}),
        },
    )
    return True


def quarantine(ledger: Ledger, worker: Worker, *, by: str, reason: str, at_once: bool = False) -> bool:
    """Give the worker nothing more until an operator asks it to be awake. False when it is quarantined already.

    It holds from this moment, whatever the worker says; what it runs it may finish, unless *at_once*.
    """
    wish = Ask(Asked.QUARANTINED, Source.FARM, by, ledger.now, reason, lazy=not at_once)
    return ask(ledger, worker, wish)


def _put(ledger: Ledger, worker: Worker, wish: Ask) -> None:
    worker.requested_state, worker.requested_source = wish.state.value, wish.source.value
    worker.requested_lazy, worker.requested_reason, worker.requested_by = wish.lazy, wish.reason, wish.by
    worker.requested_at, worker.requested_deadline_at = wish.at, wish.deadline_at
    worker.requested_instance = worker.instance
    ledger.capacity_at.add(worker.id)
    if wish.state is Asked.QUARANTINED:
        become(ledger, worker, Duty.QUARANTINED, wish.reason)
    if worker.connection in PRESENT:
        ledger.outgoing.requests.add(worker.id)
    comply(ledger, worker)


def comply(ledger: Ledger, worker: Worker) -> None:
    """Do for a worker, whose protocol has no word for it, what it is asked for."""
    if worker.requested_state is None or not protocol_of(worker).wordless:
        return
    duty = EFFECTS[Asked(worker.requested_state)].duty
    if duty is not None:
        take_duty(ledger, worker, duty, worker.requested_reason)


# --- what the worker makes of it ---------------------------------------------------------------------------


def take_duty(ledger: Ledger, worker: Worker, duty: Duty, reason: str | None) -> None:
    """What the worker says of its duty is true, but that it is not quarantined when it is; a request that it fulfils
    has ended."""
    if worker.requested_state == Asked.QUARANTINED:
        return
    if worker.requested_state is not None and fulfilled(worker.requested_state, duty):
        reason = reason or worker.requested_reason
        if EFFECTS[Asked(worker.requested_state)].ends is Ends.DONE:
            forget(ledger, worker)
    become(ledger, worker, duty, reason)


def become(ledger: Ledger, worker: Worker, duty: Duty, reason: str | None) -> None:
    """The worker's duty is this from now on."""
    if worker.duty is duty:
        return
    worker.duty, worker.reason = duty, reason
    ledger.dirty_workers.add(worker.id)
    ledger.capacity_at.add(worker.id)
    ledger.note_worker(f"worker.{duty}", worker.id, detail={"reason": reason} if reason else None)


def refuse(ledger: Ledger, worker: Worker, refused: RequestedState, reason: str | None) -> None:
    """The worker will not do what it is asked: the request ends, and what stood beneath it stands again."""
    if worker.requested_state != refused or EFFECTS[Asked(refused)].ends is not Ends.INSTANCE:
        return
    ledger.note_worker(f"worker.{refused}_refused", worker.id, detail={"reason": reason} if reason else None)
    if worker.requested_source == Source.IDLE:
        worker.idle_refused_at = ledger.now
        ledger.counted["idle", "refused"] += 1
    forget(ledger, worker)


def forget(ledger: Ledger, worker: Worker) -> None:
    """The worker's request has ended; what stood beneath it stands again."""
    beneath, worker.resume = worker.resume, None
    worker.requested_state = worker.requested_reason = worker.requested_by = worker.requested_instance = None
    worker.requested_source = worker.requested_at = worker.requested_deadline_at = None
    worker.requested_lazy = True
    ledger.dirty_workers.add(worker.id)
    ledger.capacity_at.add(worker.id)
    if beneath is not None and beneath["state"]:
        source, by = Source(beneath["source"] or Source.OPERATOR), beneath["by"] or "farmhand"
        _put(ledger, worker, Ask(Asked(beneath["state"]), source, by, ledger.now, beneath["reason"]))


def begin_instance(ledger: Ledger, worker: Worker) -> None:
    """Another instance than before: what was asked of the former one has ended with it."""
    if worker.requested_state is not None and EFFECTS[Asked(worker.requested_state)].ends is Ends.INSTANCE:
        forget(ledger, worker)


def end_instance(ledger: Ledger, worker: Worker, duty: Duty | None) -> None:
    """The worker said goodbye: a request to go has ended; *duty* is what it was willing to do before."""
    begin_instance(ledger, worker)
    asked = KEEPS.get(duty) if duty is not None else None
    if asked is not None and EFFECTS[asked].ends is Ends.REPLACED and worker.requested_state is None:
        wish = Ask(asked, Source.WORKER, worker.id, ledger.now, "as before it stopped")
        ask(ledger, worker, wish)
