"""Which life of a worker an event is of, and whether it still says anything. Pure: time is given.

The traps: what waited in a queue is old, and its worker may be dead by now; a worker that had lost its connection tells
when it has a new one its old goodbye and then that it is online; a container's process always has the same number; an
answer to a remote `heartbeat` holds no figures; times are by the worker's own clock, which may be wrong.
"""

from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from coordinator.gateways.celery import translate
from coordinator.gateways.celery.wire import Event

#: A goodbye counts when nothing of the same process has been heard for so many seconds. Who reconnects looks for its
#: neighbours for a second (`worker/consumer/mingle.py`) between its old goodbye and its `worker-online`, or longer.
GRACE_S: Final = 5.0
#: What took so many seconds longer than an event of this worker ever took had waited for us, and is no sign of life.
STALE_S: Final = 15.0


@dataclass
class Life:
    """A worker as its events tell it. `born` is when we first heard of this process, by our clock, in seconds."""

    foreign: str
    pid: int
    born: int
    clock: int = 0
    processed: int = 0
    #: The newest of its own time that was heard, and the least that an event of it ever took.
    told: float = 0.0
    lag: float | None = None
    #: Since when all that it says has seemed to be old.
    stale_since: float | None = None
    #: When a goodbye was heard that nothing has followed.
    goodbye_at: float | None = None
    goodbye: Event | None = None
    #: The process that spoke under this name before; whether it still does, beside this one.
    former: int | None = None
    twin: bool = False
    #: The newest sign that it lives.
    heard_at: float = 0.0
    newest: Event | None = None
    #: What it was when it said most.
    active: int = 0
    gone: bool = False
    #: Whether it is to be asked about itself, and given its inbox; when it was last asked.
    unasked: bool = True
    asked_at: float = float("-inf")
    inbox: str | None = None
    #: `solo`: it says nothing while it runs a task.
    pool: str | None = None
    queues: tuple[str, ...] = field(default_factory=tuple)

    @property
    def instance(self) -> UUID:
        """Which life it is."""
        return translate.instance_of(self.foreign, self.pid, self.born)


@dataclass
class Told:
    """What a batch of events says of one worker: the life that it is in, whether it has begun anew (`arrived`), and its
    newest sign of life, if there was one."""

    life: Life
    arrived: Event | None = None
    heard: Event | None = None


def is_stale(life: Life | None, event: Event, now: float, *, waited: bool) -> bool:
    """Whether it says nothing of the present: it took much longer than what its worker's clock explains."""
    if event.timestamp is None:
        return waited
    lag = now - event.timestamp
    if life is None or life.lag is None:
        return waited and lag > STALE_S
    if lag - life.lag <= STALE_S:
        life.stale_since = None
        return False
    if life.stale_since is None:
        life.stale_since = now
    if waited or now - life.stale_since <= STALE_S:
        return True
    # Nothing lies in a queue for so long while others pass: its clock was set, and what it told before is no measure.
    life.lag, life.stale_since, life.told, life.clock, life.unasked = lag, None, event.timestamp, 0, True
    return False


def fold(told: Told | None, foreign: str, event: Event, now: float, *, waited: bool) -> Told | None:
    """Take one event in. *told* is what is known before it; None for a worker that nothing is known of.

    *waited*: it lay in our queue when we came, for nobody knows how long.
    """
    life = told.life if told is not None else None
    if event.pid is None:
        return told
    if life is not None and _is_twin(life, event, now):
        life.twin = True
        return told
    stale = is_stale(life, event, now, waited=waited)
    leaves = event.type == "worker-offline"
    if life is None or event.pid != life.pid or _began_anew(life, event):
        if stale or leaves or (life is not None and _is_older(life, event)):
            return told
        former = life.pid if life is not None and life.pid != event.pid else None
        life = Life(foreign, event.pid, int(now), former=former)
        told = Told(life, arrived=event)
    elif _is_older(life, event):
        return told
    assert told is not None  # noqa: S101 - for the type checker
    if not stale:
        _learn(life, event, now)
    if leaves:
        life.goodbye_at, life.goodbye = now, event
    elif not stale:
        life.goodbye_at, life.goodbye, life.gone = None, None, False
        life.heard_at, life.newest = now, event
        told.heard = event
        if event.type == "worker-online":
            life.unasked = True
    return told


def _is_twin(life: Life, event: Event, now: float) -> bool:
    """Whether two workers have one name, and the process that this one followed goes on speaking: the later counts."""
    speaks = event.pid == life.former and event.type != "worker-online" and not _is_older(life, event)
    return speaks and not life.gone and now - life.heard_at < translate.LOST_AFTER_S


def _learn(life: Life, event: Event, now: float) -> None:
    if event.timestamp is not None:
        lag = now - event.timestamp
        life.lag = lag if life.lag is None else min(life.lag, lag)
        life.told = max(life.told, event.timestamp)
    if event.clock is not None:
        # A lower count at a later time: a container's next process, whose beginning was not heard. Its uptime will say.
        life.unasked = life.unasked or event.clock < life.clock
        life.clock = event.clock
    if translate.says_all(event):
        life.processed, life.active = event.processed or 0, max(event.active or 0, 0)


def _is_older(life: Life, event: Event) -> bool:
    """Whether it was sent before the newest that is known: of one process its own count and its time say so, of two
    their times."""
    if event.pid == life.pid and event.clock is not None and event.type != "worker-online":
        return event.clock < life.clock and (event.timestamp is None or event.timestamp <= life.told)
    return event.timestamp is not None and event.timestamp < life.told


def _began_anew(life: Life, event: Event) -> bool:
    """Whether a process of the same number is another: a container's, whose numbers always are the same."""
    if event.type != "worker-online" or _is_older(life, event):
        return False
    fewer = event.processed is not None and event.processed < life.processed
    return fewer or (event.clock is not None and event.clock < life.clock)


def is_due(life: Life, now: float) -> bool:
    """Whether its goodbye counts."""
    return life.goodbye_at is not None and not life.gone and now - life.goodbye_at >= GRACE_S
