"""Who is late, cut off, or lost: what silence and the broker's own word make of workers, and the guards before a loss.

Three signs are believed: a goodbye (`workers.offline`), the broker's word that the connection on which a worker
consumes has closed, and silence. The last two only make a suspect; it is lost when the time for that has passed and no
guard holds it back. Decided anew each second, so that whatever was held back is done when it may be.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from coordinator.domain import guards, liveness
from coordinator.domain.guards import Freeze, Guard, Sign
from coordinator.domain.outcome import Refused
from coordinator.domain.protocol import neighbourhood
from coordinator.domain.worker import PRESENT, Connection, Worker, WorkerEvent
from coordinator.operations import tasks
from coordinator.operations.guarding import FARM
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import Changed, ConflictError, ThawZone

_WORDS: Final = {
    Sign.MANY: "many turned suspect together",
    Sign.FEWER: "most of them are back",
    Sign.NONE: "nobody is suspect any more",
    Sign.WAITED: "they did not come back for long",
    Sign.OPENED: "an operator says that they are gone",
}
_EVENTS: Final = {
    Guard.CALM: "farm.expiry_thawed",
    Guard.FROZEN: "farm.expiry_frozen",
    Guard.LIMITED: "farm.expiry_limited",
    Guard.OPENED: "farm.expiry_opened",
}


@dataclass(frozen=True)
class Silence:
    """How patient the farm is: seconds."""

    heartbeat_s: float
    lost_after_s: float
    reconnect_grace_s: float = 2.0


@dataclass(frozen=True)
class JudgeSilence:
    """Each second, and when a grace ends: who is late, who is lost."""

    patience: Silence


@dataclass(frozen=True)
class ConnectionClosed:
    """The broker says that the connection of this name, on which *worker* consumed, has closed."""

    worker: str
    connection: str
    patience: Silence


@dataclass(frozen=True)
class ConnectionMade:
    """The broker says that this instance of *worker*, whose connection had closed, has made another."""

    worker: str
    instance: str


@dataclass(frozen=True)
class CoordinatorClosed:
    """The broker says that the connection of this name, on which a coordinator consumed, has closed."""

    connection: str


# --- signs -------------------------------------------------------------------------------------------------


def closed(ledger: Ledger, event: ConnectionClosed) -> None:
    """Its tasks wait for the grace, and it gets no more of them. Another connection's end says nothing."""
    worker = ledger.workers.get(event.worker)
    if worker is None or worker.connection_name != event.connection:
        return
    online = worker.connection is Connection.ONLINE
    if worker.cut_at is not None or not liveness.turn(worker, WorkerEvent.CUT, ledger.now):
        return
    ledger.dirty_workers.add(worker.id)
    if online:
        ledger.guarding.turned(neighbourhood(worker))
        ledger.note_worker("worker.suspect", worker.id, detail={"reason": "its connection closed"})
    _judge(ledger, [worker], event.patience)


def made(ledger: Ledger, event: ConnectionMade) -> None:
    """It lives; what it holds is settled when it says that it is online, or by silence."""
    worker = ledger.workers.get(event.worker)
    if worker is None or str(worker.instance) != event.instance or worker.cut_at is None:
        return
    if liveness.turn(worker, WorkerEvent.DIALLED, ledger.now):
        ledger.dirty_workers.add(worker.id)


def coordinator_closed(ledger: Ledger, event: CoordinatorClosed) -> None:
    """The broker has taken back what that coordinator held: nobody waits for it. If it lives it says so again."""
    ledger.guarding.closed.add(event.connection)


# --- silence -----------------------------------------------------------------------------------------------


def judge_silent(ledger: Ledger, event: JudgeSilence) -> None:
    """Look at all that we have not heard for a while, and at all suspects."""
    patience = event.patience
    farms_s = liveness.heartbeat_interval_s(ledger.worker_count, patience.heartbeat_s)
    looked_at = [ledger.workers[name] for name in ledger.silent]
    for worker in looked_at:
        interval_s, silence_s = worker.heartbeat_s or farms_s, _silence_s(ledger, worker)
        late = liveness.is_late(silence_s, interval_s) and worker.connection is Connection.ONLINE
        if late and liveness.turn(worker, WorkerEvent.LATE, ledger.now):
            ledger.guarding.turned(neighbourhood(worker))
            ledger.dirty_workers.add(worker.id)
            ledger.note_worker("worker.suspect", worker.id, detail={"silent_s": round(silence_s, 1)})
    _judge(ledger, looked_at, patience)


def _judge(ledger: Ledger, suspects: Iterable[Worker], patience: Silence) -> None:
    """Look at the guards, then give up those of *suspects* that are due and that no guard holds back."""
    interval_s = liveness.heartbeat_interval_s(ledger.worker_count, patience.heartbeat_s)
    lost_after_s = liveness.lost_after_s(interval_s, patience.lost_after_s)
    guarding, now = ledger.guarding, ledger.now
    _look_for_deaf(ledger)
    _look_at_zones(ledger, lost_after_s)
    for worker in suspects:
        if worker.connection not in PRESENT:
            continue
        silence_s = _silence_s(ledger, worker)
        if liveness.is_abandoned(worker, guarding.listening_since, now, patience.reconnect_grace_s):
            event, why = WorkerEvent.ABANDONED, "its connection closed"
        elif silence_s > (worker.lost_after_s or lost_after_s):
            event, why = WorkerEvent.SILENT, f"silent for {silence_s:.0f} s"
        else:
            continue
        if guarding.allows(neighbourhood(worker), now, lost_after_s) and _lose(ledger, worker, event, why):
            guarding.lost(neighbourhood(worker), now, lost_after_s)


def _silence_s(ledger: Ledger, worker: Worker) -> float:
    since = liveness.silent_since(ledger.last_seen[worker.id], ledger.guarding.listening_since)
    return (ledger.now - since).total_seconds()


def _lose(ledger: Ledger, worker: Worker, event: WorkerEvent, why: str) -> bool:
    """Give a worker up: all that it held runs elsewhere."""
    if not liveness.turn(worker, event, ledger.now):
        return False
    worker.reason = why
    held = list(ledger.held[worker.id].values())
    for attempt in held:
        tasks.lose(ledger, attempt, f"worker {worker.id} lost: {why}")
    ledger.dirty_workers.add(worker.id)
    ledger.note_worker("worker.lost", worker.id, detail={"reason": why, "held": len(held)})
    ledger.counted["lost", event] += 1
    return True


# --- guards ------------------------------------------------------------------------------------------------


def thaw(ledger: Ledger, request: ThawZone) -> Changed:
    """An operator says that who is suspect in a zone is gone indeed."""
    if request.zone not in ledger.guarding.freezes or request.zone == FARM:
        raise ConflictError(f"nothing is frozen in zone {request.zone!r}; see farmhand freezes")
    return Changed(int(_tell(ledger, request.zone, Sign.OPENED, request.actor, request.reason)))


def _look_for_deaf(ledger: Ledger) -> None:
    guarding = ledger.guarding
    deaf = guards.deaf(guarding.coordinators, ledger.now)
    if deaf and FARM not in guarding.freezes:
        there = len(guarding.coordinators)
        guarding.freezes[FARM] = Freeze(FARM, Guard.FROZEN, ledger.now, there, len(deaf), ledger.now)
        _note(ledger, FARM, Guard.FROZEN, None, {"reason": "coordinators consume nothing", "deaf": deaf})
    elif not deaf and guarding.coordinators and FARM in guarding.freezes:
        del guarding.freezes[FARM]
        _note(ledger, FARM, Guard.CALM, None, {"reason": "no coordinator is deaf any more"})


def _look_at_zones(ledger: Ledger, lost_after_s: float) -> None:
    guarding = ledger.guarding
    for name in sorted({*guarding.zones, *guarding.freezes} - {FARM}):
        sign = guards.signs(guarding.zone(name), guarding.freezes.get(name), ledger.now, lost_after_s)
        if sign is not None:
            _tell(ledger, name, sign)


def _tell(ledger: Ledger, name: str, sign: Sign, actor: str | None = None, reason: str | None = None) -> bool:
    guarding, now = ledger.guarding, ledger.now
    freeze, counts = guarding.freezes.get(name), guarding.zone(name)
    guard = guards.decide(freeze.guard if freeze else Guard.CALM, sign)
    if isinstance(guard, Refused):
        return False
    if guard is Guard.CALM:
        del guarding.freezes[name]
    elif freeze is None:
        guarding.freezes[name] = Freeze(name, guard, now, counts.workers, counts.suspects, now)
    else:
        freeze.guard, freeze.counted_at, freeze.lost = guard, now, 0
    detail = {"zone": name, "reason": reason or _WORDS[sign], "suspects": counts.suspects, "workers": counts.workers}
    _note(ledger, name, guard, actor, detail)
    return True


def _note(ledger: Ledger, name: str, guard: Guard, actor: str | None, detail: dict[str, Any]) -> None:
    ledger.guarding.dirty.add(name)
    ledger.note_farm(_EVENTS[guard], actor=actor, detail=detail)
    ledger.counted["expiry", guard] += 1
