"""How well a worker does, by the jobs in which it failed what nobody else failed, and those in which it finished tasks.

    health = (1 + D) / (1 + D + F)

F is the sum over the jobs in which it failed tasks that nobody else has failed, D over those in which it finished some;
each job counts once, `2 ** -(age / half-life)`, its age that of the latest such event. So 1.0 is a worker that fails
nothing, and one that only fails has 0.5 after its first job, 0.33 after two, 0.25 after three. What led to a quarantine
has been judged, and is not held against it again.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from coordinator.domain.worker import PRESENT, Duty, Worker

HALF_LIFE_S: Final = 3600.0
#: What is older counts for nothing: less than a thousandth.
MEMORY_S: Final = 10 * HALF_LIFE_S


@dataclass(frozen=True, slots=True)
class Evidence:
    """For each job, how many seconds ago a worker last failed, and last finished, a task of it."""

    failed_s: Collection[float] = ()
    finished_s: Collection[float] = ()


def weight(age_s: float) -> float:
    """How much something of this age still counts."""
    return float(2.0 ** (-max(0.0, age_s) / HALF_LIFE_S)) if age_s < MEMORY_S else 0.0


def score(evidence: Evidence) -> float:
    """The worker's health: 1.0 is the best, 0 the worst."""
    failed, finished = sum(map(weight, evidence.failed_s)), sum(map(weight, evidence.finished_s))
    return (1.0 + finished) / (1.0 + finished + failed)


def is_unfit(evidence: Evidence, quarantine_below: float) -> bool:
    """Whether a worker with this evidence fails everywhere."""
    return score(evidence) < quarantine_below


def has_others(worker: Worker, workers: Iterable[Worker]) -> bool:
    """Whether some other worker serves one of its queues and kinds: the last one is never quarantined."""
    return any(
        other.id != worker.id
        and other.connection in PRESENT
        and other.duty is not Duty.QUARANTINED
        and not set(other.queues).isdisjoint(worker.queues)
        and not set(other.kinds).isdisjoint(worker.kinds)
        for other in workers
    )


def told(evidence: Evidence) -> str:
    """Why it is unfit, in words."""
    failed = f"{len(evidence.failed_s)} job{'' if len(evidence.failed_s) == 1 else 's'}"
    finished = f"in {len(evidence.finished_s)}" if evidence.finished_s else "in none"
    return f"failed in {failed} what nobody else failed, finished tasks {finished} (health {score(evidence):.2f})"
