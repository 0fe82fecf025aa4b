"""When a worker that we do not hear is late, and when it is lost. Seconds, counted by the database's clock.

`turn` is the one way in which a worker's connection changes, and what goes with it: since when it is suspect, and since
when its connection is cut.
"""

from datetime import datetime, timedelta
from typing import Final

from coordinator.domain.outcome import Refused
from coordinator.domain.worker import Connection, Worker, WorkerEvent, decide

LONGEST_INTERVAL_S: Final = 60.0
WORKERS_PER_SECOND: Final = 200.0
MISSED_BEATS_LATE: Final = 2
MISSED_BEATS_LOST: Final = 3
#: A heartbeat that is applied within so long of a cut may have been sent before it, and shows nothing.
IN_FLIGHT: Final = timedelta(seconds=1)


def heartbeat_interval_s(workers: int, shortest_s: float) -> float:
    """Seconds between heartbeats on a farm of so many workers: at most 200 beats a second in all (after Nomad)."""
    return min(LONGEST_INTERVAL_S, max(shortest_s, workers / WORKERS_PER_SECOND))


def lost_after_s(interval_s: float, configured_s: float) -> float:
    """Seconds of silence after which a worker is lost; also the lease of what it holds."""
    return max(configured_s, MISSED_BEATS_LOST * interval_s)


def silent_since(last_seen_at: datetime, listening_since: datetime) -> datetime:
    """From when silence counts: nobody is judged for the time in which we did not listen."""
    return max(last_seen_at, listening_since)


def is_late(silence_s: float, interval_s: float) -> bool:
    """Whether two heartbeats are missing (with the jitter that senders add)."""
    return silence_s > MISSED_BEATS_LATE * interval_s * 1.1


def turn(worker: Worker, event: WorkerEvent, now: datetime) -> bool:
    """Let *event* happen to *worker*'s connection. False when it does not fit, and changes nothing."""
    connection = decide(worker.connection, event)
    if isinstance(connection, Refused):
        return False
    worker.connection = connection
    match connection:
        case Connection.ONLINE | Connection.OFFLINE:
            worker.suspect_at = worker.cut_at = None
        case Connection.SUSPECT:
            worker.suspect_at = worker.suspect_at or now
            if event is WorkerEvent.CUT:
                worker.cut_at = worker.cut_at or now
            elif event is WorkerEvent.DIALLED:
                worker.cut_at = None
        case Connection.LOST:
            worker.suspect_at = worker.suspect_at or now
            worker.cut_at = None
    return True


def shows_life(worker: Worker, now: datetime) -> bool:
    """Whether a heartbeat applied *now* shows that a suspect is back: not one that was under way when it was cut."""
    return worker.cut_at is None or now - worker.cut_at >= IN_FLIGHT


def is_abandoned(worker: Worker, listening_since: datetime, now: datetime, grace_s: float) -> bool:
    """Whether it was cut, and did not come back within the grace. A word from before we listened without a break says
    nothing: whoever came back meanwhile was not heard, and silence decides."""
    if worker.cut_at is None or worker.cut_at < listening_since:
        return False
    return now - worker.cut_at >= timedelta(seconds=grace_s)
