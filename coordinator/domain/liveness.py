"""When a worker that we do not hear is late, and when it is lost. Seconds, counted by the database's clock."""

from datetime import datetime
from typing import Final

LONGEST_INTERVAL_S: Final = 60.0
WORKERS_PER_SECOND: Final = 200.0
MISSED_BEATS_LATE: Final = 2
MISSED_BEATS_LOST: Final = 3


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


def is_lost(silence_s: float, interval_s: float, configured_s: float) -> bool:
    """Whether it is to be given up."""
    return silence_s > lost_after_s(interval_s, configured_s)
