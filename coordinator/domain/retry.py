"""After an attempt that ended without a result: again, later, or not at all.

A failure is the task's: it uses up a retry and waits, with exponential backoff and full jitter in its upper half, on
another worker if there is one. A loss is the farm's: the task is ready again at once and no retry is burnt, but losses
have a cap of their own, so that a task that kills its workers ends as `failed: poison`.
"""

from dataclasses import dataclass
from typing import Final

from coordinator.domain.attempt import Ending

FIRST_BACKOFF_S: Final = 2.0
LONGEST_BACKOFF_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Again:
    """Ready again at once."""


@dataclass(frozen=True, slots=True)
class Later:
    """Ready again after `backoff_s` seconds."""

    backoff_s: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Failed for good, and why."""

    reason: str


def backoff_s(failures: int, chance: float) -> float:
    """Seconds to wait after the *failures*-th failure (1, 2, …); *chance* in [0, 1) spreads the upper half."""
    longest = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 30))
    return longest / 2 + longest / 2 * chance


def after(
    ending: Ending, *, failures: int, retries: int, losses: int, max_losses: int, chance: float
) -> Again | Later | GiveUp:
    """What follows *ending*; *failures* and *losses* include this one."""
    if ending is Ending.FAILED:
        if failures > retries:
            return GiveUp(f"failed {failures} times" if failures > 1 else "failed")
        return Later(backoff_s(failures, chance))
    if ending is Ending.LOST and losses >= max_losses:
        return GiveUp(f"poison: {losses} workers were lost while they ran it")
    return Again()
