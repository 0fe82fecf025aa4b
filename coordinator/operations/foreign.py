"""What workers behind gateways do: they come, are heard, and go. How they get work is in `claiming`.

A gateway turns each call of its protocol into one of these, and the answer into its own words. So they are rows like
our own agents, under the same epochs and the same judgement of silence; what differs is that nothing is ever sent to
them: their state is what they find when they call again.

`seq` is what tells an old call from a new one where calls may overtake one another (their worker's clock in ms, say).
An old one never brings back who has left, and never concerns another life than its own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from coordinator.domain.clones import Arrival
from coordinator.domain.liveness import turn
from coordinator.domain.worker import PRESENT, Asked, Connection, Duty, Worker, WorkerEvent
from coordinator.operations import states, tasks
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, NotFoundError, Request
from coordinator.operations.signs import Caller, Kept, Signs
from coordinator.operations.wanted import Wanted
from schemas.worker import RequestedState

#: Of who has not said how often it will speak.
HEARTBEAT_S: Final = 60.0
LOST_AFTER_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Portrait:
    """What is known of a worker: None where this call says nothing of it, and it stays as it was.

    `heartbeat_s` is how often it says something, `lost_after_s` the silence after which it is lost.
    """

    protocol: str
    foreign_id: str
    heartbeat_s: float | None = None
    lost_after_s: float | None = None
    software: str | None = None
    platform: Mapping[str, Any] | None = None
    kinds: tuple[str, ...] | None = None
    queues: tuple[str, ...] | None = None
    tags: tuple[str, ...] | None = None
    runners: tuple[str, ...] | None = None
    slots: int | None = None
    can_restart: bool | None = None


@dataclass(frozen=True, slots=True)
class Sign:
    """What a call says of its worker. `at` and `active_at` are by its own clock: what is to come counts as now."""

    seq: int | None = None
    at: datetime | None = None
    active_at: datetime | None = None
    #: It is active now, whatever clock it has.
    active: bool = False
    open_sessions: int | None = None
    stats: Mapping[str, Any] | None = None
    kept: Kept = Kept.SOME


#: It lives, and says no more.
LIVES: Final = Sign()


@dataclass(frozen=True, slots=True)
class Standing:
    """A worker as its row is after a call; `platform` where it was loaded in full."""

    worker: str
    connection: Connection
    duty: Duty
    requested: Asked | None
    lazy: bool
    #: The newest time at which it says that it sent something, and was active.
    told_at: datetime | None
    active_at: datetime | None
    now: datetime
    platform: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrive(Request[Standing]):
    """The worker says that it is here. Another *instance* than before is another life: what the former held is lost.

    Where the protocol lets a report come after that (`keeps`), it is lost when the worker asks for work.
    """

    worker: str
    portrait: Portrait
    instance: UUID
    sign: Sign = LIVES
    duty: Duty = Duty.AWAKE
    keeps: bool = False


@dataclass(frozen=True)
class Hear(Request[Standing]):
    """The worker lives, and perhaps says more of itself. *instance* None: it does not say which life it is in.

    It comes back if it was given up or had gone. Who is not known is made known, if *creates*.
    """

    worker: str
    portrait: Portrait
    sign: Sign = LIVES
    instance: UUID | None = None
    creates: bool = True
    #: Who said goodbye no longer ago than this is not heard: it was under way.
    quiet_s: float = 0.0


@dataclass(frozen=True)
class Depart(Request[Changed]):
    """The worker says goodbye: what it holds is ready again at once, no retry burnt.

    *duty* is what it was willing to do before; with `remembers` that is what its row says.
    """

    worker: str
    instance: UUID | None = None
    sign: Sign = LIVES
    reason: str | None = None
    duty: Duty | None = None
    remembers: bool = False


@dataclass(frozen=True)
class Refuse(Request[Changed]):
    """The worker will not do what it is asked for, or cannot."""

    worker: str
    asked: RequestedState
    reason: str


def arrive(ledger: Ledger, request: Arrive) -> Standing:
    """Let it in."""
    worker = _find(ledger, request.worker, request.portrait)
    if worker is None:
        worker = _new(ledger, request.worker, request.portrait, request.instance, request.duty)
    else:
        if worker.instance != request.instance or worker.connection not in PRESENT:
            _new_life(ledger, worker, request.instance, "the worker came back without it", keeps=request.keeps)
        _describe(ledger, worker, request.portrait)
        _turn(ledger, worker, WorkerEvent.CAME)
    if request.keeps:
        worker.arrivals = [Arrival(str(request.instance), "", ledger.now).stored()]
    states.take_duty(ledger, worker, request.duty, None)
    states.comply(ledger, worker)
    note(ledger, worker, request.sign)
    return standing(ledger, worker)


def hear(ledger: Ledger, request: Hear) -> Standing:
    """Note that it lives."""
    caller = only_calls(ledger, request.worker)
    if caller is not None:
        note(ledger, caller, request.sign)
        return standing(ledger, caller)
    worker = _find(ledger, request.worker, request.portrait)
    instance = request.instance
    if worker is None:
        if not request.creates:
            raise NotFoundError(f"there is no worker {request.worker!r}")
        worker = _new(ledger, request.worker, request.portrait, instance or UUID(int=0), Duty.AWAKE)
        note(ledger, worker, request.sign)
        return standing(ledger, worker)
    other = instance is not None and worker.instance != instance
    if (other or worker.connection not in PRESENT) and _is_old(ledger, worker, request.sign):
        return standing(ledger, worker)
    if worker.connection is Connection.OFFLINE and _has_just_left(ledger, worker, request.quiet_s):
        return standing(ledger, worker)
    _describe(ledger, worker, request.portrait)
    if instance is not None and other:
        _new_life(ledger, worker, instance, "the worker came back without it")
        _turn(ledger, worker, WorkerEvent.CAME)
    else:
        come_back(ledger, worker)
    note(ledger, worker, request.sign)
    return standing(ledger, worker)


def depart(ledger: Ledger, request: Depart) -> Changed:
    """Let it go; who has gone already, or is in another life by now, stays as it is."""
    worker = states.find(ledger, request.worker)
    if request.instance is not None and worker.instance != request.instance:
        return Changed(0)
    overtaken = request.sign.seq is not None and request.sign.seq < ledger.foreign.signs[worker.id].seq
    if overtaken or not _turn(ledger, worker, WorkerEvent.LEFT):
        return Changed(0)
    held = list(ledger.held[worker.id].values())
    for attempt in held:
        tasks.give_back(ledger, attempt)
    worker.reason = request.reason
    states.end_instance(ledger, worker, worker.duty if request.remembers else request.duty)
    note(ledger, worker, request.sign)
    detail = {"reason": request.reason, "handed_back": len(held)}
    ledger.note_worker("worker.offline", worker.id, detail=detail)
    return Changed(1)


def refuse(ledger: Ledger, request: Refuse) -> Changed:
    """The request ends; what stood beneath it stands again."""
    worker = states.find(ledger, request.worker)
    states.refuse(ledger, worker, request.asked, request.reason)
    return Changed(1)


def standing(ledger: Ledger, worker: Worker | Caller) -> Standing:
    """The worker as its row is."""
    signs = ledger.foreign.signs.get(worker.id) or Signs()
    return Standing(
        worker=worker.id,
        connection=worker.connection,
        duty=worker.duty,
        requested=Asked(worker.requested_state) if worker.requested_state else None,
        lazy=worker.requested_lazy,
        told_at=signs.told_at,
        active_at=signs.told_active_at,
        now=ledger.now,
        platform={} if isinstance(worker, Caller) else worker.platform,
    )


def only_calls(ledger: Ledger, name: str) -> Caller | None:
    """The worker of this name, if nothing of its row was changed, nor will be by what calls."""
    return None if name in ledger.workers else ledger.foreign.callers.get(name)


def changes_nothing(caller: Caller, call: Any) -> bool:
    """Whether *call* is only a sign of life of a worker that is online, and says nothing new of it."""
    said: Portrait | None = getattr(call, "portrait", None)
    if caller.connection is not Connection.ONLINE or begins_a_life(caller, call):
        return False
    return said is None or said == Portrait(
        caller.protocol,
        caller.foreign_id or "",
        said.heartbeat_s and caller.heartbeat_s,
        said.lost_after_s and caller.lost_after_s,
        said.software and caller.software,
    )


def begins_a_life(caller: Caller, call: Any) -> bool:
    """Whether by *call* another life of the worker may begin: then what it holds is lost."""
    instance = getattr(call, "instance", None)
    return caller.connection not in PRESENT or (instance is not None and instance != caller.instance)


def _find(ledger: Ledger, name: str, portrait: Portrait) -> Worker | None:
    """The worker of this name. Raises ConflictError when it is somebody else's."""
    worker = ledger.workers.get(name)
    if worker is not None and (worker.protocol, worker.foreign_id) != (portrait.protocol, portrait.foreign_id):
        raise ConflictError(f"the name {name!r} belongs to a {worker.protocol} worker; remove that first")
    return worker


def _new(ledger: Ledger, name: str, portrait: Portrait, instance: UUID, duty: Duty) -> Worker:
    worker = enrol(ledger, name, portrait, instance)
    worker.duty = duty
    worker.connection = Connection.ONLINE
    ledger.foreign.signs[name].active_at = ledger.now
    ledger.foreign.telling.add(name)
    ledger.note_worker("worker.online", name, detail={"epoch": 1, "software": worker.software})
    return worker


def enrol(ledger: Ledger, name: str, portrait: Portrait, instance: UUID) -> Worker:
    """A row for a worker that has not said anything yet."""
    worker = Worker(
        id=name,
        connection=Connection.OFFLINE,
        duty=Duty.AWAKE,
        epoch=1,
        instance=instance,
        kinds=[],
        queues=[],
        slots=1,
        protocol=portrait.protocol,
        foreign_id=portrait.foreign_id,
        heartbeat_s=HEARTBEAT_S,
        lost_after_s=LOST_AFTER_S,
        # Its protocol has no words for secrets by reference, nor for limits of a task's processes.
        secrets=[],
        enforces=[],
    )
    ledger.workers[name] = worker
    ledger.held[name] = {}
    ledger.foreign.signs[name] = Signs()
    ledger.new_workers.add(name)
    ledger.dirty_workers.add(name)
    ledger.seen_workers[name] = 0
    _describe(ledger, worker, portrait)
    return worker


def take_over(ledger: Ledger, worker: Worker, portrait: Portrait, actor: str) -> None:
    """A worker that has gone comes again under another name of its own: its row is the same, its labels are not."""
    ledger.note_worker("worker.recognised", worker.id, actor=actor, detail={"before": worker.foreign_id})
    worker.foreign_id = portrait.foreign_id
    if worker.labels:
        worker.labels = []
        ledger.capacity_at.add(worker.id)
    ledger.dirty_workers.add(worker.id)
    _describe(ledger, worker, portrait)


def _describe(ledger: Ledger, worker: Worker, portrait: Portrait) -> None:
    """Take over what it says of itself; what has not changed is not written."""
    for name in (
        "heartbeat_s",
        "lost_after_s",
        "software",
        "platform",
        "kinds",
        "queues",
        "tags",
        "runners",
        "slots",
        "can_restart",
    ):
        said = getattr(portrait, name)
        if said is None:
            continue
        value = list(said) if isinstance(said, tuple) else said
        if name == "platform":
            value = {**worker.platform, **said}
        if getattr(worker, name) != value:
            setattr(worker, name, value)
            ledger.dirty_workers.add(worker.id)
            ledger.capacity_at.add(worker.id)


def _new_life(ledger: Ledger, worker: Worker, instance: UUID, why: str, *, keeps: bool = False) -> None:
    """Another epoch: what it held before is lost, unless it *keeps* that until it asks for work."""
    worker.epoch += 1
    worker.reason = None
    if worker.instance != instance:
        worker.instance = instance
        states.begin_instance(ledger, worker)
    for key, attempt in list(ledger.held[worker.id].items()):
        if keeps and attempt.live:
            attempt.epoch = worker.epoch
            ledger.dirty_attempts.add(key)
        else:
            tasks.lose(ledger, attempt, why)
    ledger.dirty_workers.add(worker.id)
    signs = ledger.foreign.signs[worker.id]
    signs.active_at = ledger.now
    ledger.foreign.telling.add(worker.id)
    ledger.seen_workers[worker.id] = signs.seq
    ledger.note_worker("worker.online", worker.id, detail={"epoch": worker.epoch, "software": worker.software})


def come_back(ledger: Ledger, worker: Worker) -> None:
    """It is online, whatever it was: a sign of life is enough."""
    if worker.connection is Connection.SUSPECT:
        _turn(ledger, worker, WorkerEvent.HEARD)
        ledger.note_worker("worker.back", worker.id)
    elif worker.connection not in PRESENT:
        _new_life(ledger, worker, worker.instance, "the worker was given up")
        _turn(ledger, worker, WorkerEvent.CAME)


def _turn(ledger: Ledger, worker: Worker, event: WorkerEvent) -> bool:
    before = worker.connection
    if not turn(worker, event, ledger.now):
        return False
    if worker.connection is not before:
        ledger.dirty_workers.add(worker.id)
        ledger.capacity_at.add(worker.id)
    return True


def _is_old(ledger: Ledger, worker: Worker, sign: Sign) -> bool:
    """Whether it was sent before, or is, the newest that has come."""
    return sign.seq is not None and sign.seq <= ledger.foreign.signs[worker.id].seq


def _has_just_left(ledger: Ledger, worker: Worker, within_s: float) -> bool:
    """Whether the last that was heard of who has gone, its goodbye, is no longer ago than this."""
    told_at = ledger.foreign.signs[worker.id].told_at
    return told_at is not None and ledger.now - told_at < timedelta(seconds=within_s)


def note(ledger: Ledger, worker: Worker | Caller, sign: Sign) -> None:
    """Note the sign of life, which never goes back in time, nor ahead of ours."""
    signs, now = ledger.foreign.signs[worker.id], ledger.now
    ledger.foreign.heard.add(worker.id)
    if sign is LIVES:
        signs.told_at = _newest(signs.told_at, now)
        signs.kept = max(signs.kept, Kept.SOME)
        return
    ledger.foreign.telling.add(worker.id)
    signs.seq = max(signs.seq, sign.seq or 0)
    at = min(sign.at or now, now)
    signs.told_at = _newest(signs.told_at, at)
    if sign.active or sign.active_at is not None:
        active_at = min(sign.active_at or at, now)
        signs.told_active_at = _newest(signs.told_active_at, active_at)
        # So long before it said so: its clock may be wrong.
        signs.active_at = _newest(signs.active_at, now - max(at - active_at, timedelta()))
    if sign.open_sessions is not None:
        signs.open_sessions = sign.open_sessions
    if sign.stats is not None:
        signs.stats = sign.stats
    signs.kept = max(signs.kept, sign.kept)


def _newest(before: datetime | None, said: datetime) -> datetime:
    return said if before is None else max(before, said)


def want(wanted: Wanted, request: Any) -> None:
    """Its row, what it holds, and its signs of life."""
    wanted.holders.add(request.worker)
    wanted.foreign.add(request.worker)


def want_caller(wanted: Wanted, request: Any) -> None:
    """Its signs of life; its row only if that changes, and what it holds if it turns out to be in another life."""
    wanted.callers.setdefault(request.worker, []).append(request)


OPERATIONS: Final[Mapping[type, tuple[Callable[[Wanted, Any], None], Callable[[Ledger, Any], Any]]]] = {
    Arrive: (want, arrive),
    Hear: (want_caller, hear),
    Depart: (want, depart),
    Refuse: (want, refuse),
}
