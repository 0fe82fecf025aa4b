"""After an attempt that ended without a result: of which class its end is, and whether the task is tried again.

An end belongs to one of four classes, by tables: how it ended, what its worker said was the cause, the exit code.

- `task`: the task's own failure. Uses up a retry.
- `resource`: it needed more of something than there was: memory, disk, time, a licence. Has a budget of its own.
- `infrastructure`: the farm's doing. Burns nothing but, when a worker was lost while it ran, one of the losses that it
  may cost.
- `poison`: it must not be tried again: its worker says so, or it has cost too many workers.

Each class has one rule. What has failed or run short goes to another worker if there is one (see `matching`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from coordinator.domain.attempt import Ending


class RetryClass(StrEnum):
    """Whose doing the end of an attempt is."""

    TASK = "task"
    RESOURCE = "resource"
    INFRASTRUCTURE = "infrastructure"
    POISON = "poison"


_C = RetryClass
BY_ENDING: Final[Mapping[Ending, RetryClass]] = {
    Ending.LOST: _C.INFRASTRUCTURE,
    Ending.INTERRUPTED: _C.INFRASTRUCTURE,
    Ending.CANCELED: _C.INFRASTRUCTURE,
    Ending.REVOKED: _C.INFRASTRUCTURE,
    Ending.SUPERSEDED: _C.INFRASTRUCTURE,
}
#: What a worker may give as the cause of a failure (`schemas.task.Cause`).
BY_CAUSE: Final[Mapping[str, RetryClass]] = {
    "program": _C.TASK,
    "memory": _C.RESOURCE,
    "disk": _C.RESOURCE,
    "time": _C.RESOURCE,
    "stalled": _C.RESOURCE,
    "unavailable": _C.RESOURCE,
    "hopeless": _C.POISON,
}
#: Exit codes that say more than "failed"; a negative one is the signal that ended the program, 128 + n is what a shell
#: makes of it. The kernel's memory killer sends SIGKILL; an agent that stops an attempt reports no failure.
BY_EXIT_CODE: Final[Mapping[int, RetryClass]] = {
    -9: _C.RESOURCE,  # SIGKILL
    137: _C.RESOURCE,
    -24: _C.RESOURCE,  # SIGXCPU
    152: _C.RESOURCE,
    -25: _C.RESOURCE,  # SIGXFSZ
    153: _C.RESOURCE,
    75: _C.RESOURCE,  # EX_TEMPFAIL: try again later
}


def class_of(ending: Ending, cause: str | None = None, exit_code: int | None = None) -> RetryClass:
    """The class of an attempt's end. A *cause* that we do not know says nothing."""
    if ending in BY_ENDING:
        return BY_ENDING[ending]
    if cause is not None and cause in BY_CAUSE:
        return BY_CAUSE[cause]
    if exit_code is not None and exit_code in BY_EXIT_CODE:
        return BY_EXIT_CODE[exit_code]
    return RetryClass.TASK


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait, in seconds: `first_s`, then `factor` times as long after each further end, at most `longest_s`;
    the upper half of it is spread by chance."""

    first_s: float
    factor: float
    longest_s: float

    def pause_s(self, count: int, chance: float) -> float:
        """Seconds to wait after the *count*-th end of the class (1, 2, …); *chance* in [0, 1) is the jitter."""
        longest = min(self.longest_s, self.first_s * self.factor ** min(count - 1, 30))
        return longest / 2 + longest / 2 * chance


@dataclass(frozen=True, slots=True)
class Rule:
    """What an end of a class does: whether it burns a retry, and the pause before the next attempt (None: at once)."""

    burns_retry: bool
    backoff: Backoff | None


RULES: Final[Mapping[RetryClass, Rule]] = {
    _C.TASK: Rule(burns_retry=True, backoff=Backoff(2.0, 2.0, 300.0)),
    _C.RESOURCE: Rule(burns_retry=False, backoff=Backoff(10.0, 3.0, 900.0)),
    _C.INFRASTRUCTURE: Rule(burns_retry=False, backoff=None),
    _C.POISON: Rule(burns_retry=False, backoff=None),
}


@dataclass(frozen=True, slots=True)
class Counts:
    """Ends so far in a task's run, the one in question included; of losses, those while it ran."""

    failures: int = 0
    shortages: int = 0
    losses: int = 0


@dataclass(frozen=True, slots=True)
class Budget:
    """How many ends a task may survive: failures and shortages are retried so often, the last loss ends it."""

    retries: int
    shortages: int
    losses: int


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


def after(kind: RetryClass, counts: Counts, budget: Budget, *, chance: float) -> Again | Later | GiveUp:
    """What follows an end of class *kind*."""
    match kind:
        case RetryClass.POISON:
            return GiveUp("poison: its worker says that no retry can help")
        case RetryClass.INFRASTRUCTURE if counts.losses >= budget.losses:
            return GiveUp(f"poison: {_times(counts.losses, 'worker was', 'workers were')} lost while they ran it")
        case RetryClass.TASK if counts.failures > budget.retries:
            return GiveUp(f"failed {counts.failures} times" if counts.failures > 1 else "failed")
        case RetryClass.RESOURCE if counts.shortages > budget.shortages:
            return GiveUp(f"ran short of resources {_times(counts.shortages, 'time', 'times')}")
    backoff = RULES[kind].backoff
    if backoff is None:
        return Again()
    return Later(backoff.pause_s(counts.failures if kind is RetryClass.TASK else counts.shortages, chance))


def told(kind: RetryClass, counts: Counts, budget: Budget, error: str | None) -> str:
    """Why a task waits for its next attempt, in words."""
    used, most, what = (
        (counts.failures, budget.retries, "retry")
        if kind is RetryClass.TASK
        else (counts.shortages, budget.shortages, "retry after a shortage")
    )
    why = (error or "failed").splitlines()[0][:200]
    return f"{what} {used} of {most}: {why}"


def _times(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
