"""The reasons why something waits, in one fixed order, and what their words are made of.

What each is told as stands in `why`.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What sort of reason it is. Only `never`, and `delivery` that takes too long, need somebody's help."""

    SELF = "self"  # the task's own: what it waits for, when it may start
    LIMIT = "limit"  # as many as are allowed run already
    NEVER = "never"  # nobody on the farm could run it
    LATER = "later"  # somebody could, but not now
    TURN = "turn"  # nothing stands in its way: it is next
    DELIVERY = "delivery"  # given to a worker that has not started it
    RUNNING = "running"
    DONE = "done"


class Who(StrEnum):
    """Who can do something about it."""

    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "farm admin"
    NOBODY = "nobody: it passes by itself"


class Reason(StrEnum):
    """Why, in the order in which reasons are told: the task, its group, the workers."""

    # the task
    FINISHED = "finished"
    COORDINATOR_PAUSED = "coordinator_paused"
    BROKER_BLOCKED = "broker_blocked"
    UNHEARD = "unheard"
    EXPIRY_FROZEN = "expiry_frozen"
    QUIET = "quiet"
    RUNNING = "running"
    UNDELIVERED = "undelivered"
    DEPENDENCY_NEVER = "dependency_never"
    DEPENDENCY = "dependency"
    PROMOTION = "promotion"
    PAUSED_TASK = "paused_task"
    BACKOFF = "backoff"
    NOT_BEFORE = "not_before"
    LEASED = "leased"
    # its group: the ready tasks of one job with equal requirements
    CANCELING = "canceling"
    PAUSED_JOB = "paused_job"
    PAUSED_QUEUE = "paused_queue"
    JOB_LIMIT = "job_limit"
    LICENSE_NEVER = "license_never"
    LICENSE = "license"
    QUEUE_LIMIT = "queue_limit"
    KIND_LIMIT = "kind_limit"
    SUBMITTER_LIMIT = "submitter_limit"
    # what a worker is (whoever fails one of these could never run it as things are)
    NO_WORKER = "no_worker"
    NO_QUEUE = "no_queue"
    NO_KIND = "no_kind"
    NO_ZONE = "no_zone"
    NO_TAG = "no_tag"
    NO_LABEL = "no_label"
    NO_LEASE = "no_lease"
    NO_SUPERVISOR = "no_supervisor"
    NO_RUNNER = "no_runner"
    NO_SECRET = "no_secret"  # noqa: S105
    NO_LIMIT = "no_limit"
    TOO_BIG = "too_big"
    # how a worker is just now
    GONE = "gone"
    SUSPECT = "suspect"
    ASLEEP = "asleep"
    DRAINING = "draining"
    UNWELL = "unwell"
    STARTING = "starting"
    TESTING = "testing"
    QUARANTINED = "quarantined"
    ASKED_TO_STOP = "asked_to_stop"
    BLOCKED = "blocked"
    FAILED_HERE = "failed_here"
    BUSY = "busy"
    RESOURCES = "resources"
    # nothing stands in its way but its turn
    PRIORITY = "priority"
    NEXT_PASS = "next_pass"  # noqa: S105

    @property
    def place(self) -> int:
        """Where it stands in the order."""
        return _PLACES[self]


_PLACES: Final = {reason: place for place, reason in enumerate(Reason)}


@dataclass(frozen=True, slots=True)
class Line:
    """What a reason is told as. An empty remedy: only time helps."""

    kind: Kind
    who: Who
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """A reason against a worker, from both sides: what those do who pass, and what one lacks who does not."""

    passes: str
    lacks: str


class Count(int):
    """A number that can say what it counts: `{n:worker}` is "1 worker" or "3 workers", `{n:is|are}` is a word."""

    def __format__(self, spec: str) -> str:
        """The number with its noun, or the word that goes with it."""
        one, bar, many = spec.partition("|")
        if bar:
            return one if self == 1 else many
        return f"{int(self):,} {spec}{'' if self == 1 else 's'}" if spec else f"{int(self):,}"


#: Below so many seconds they are told in units of that size.
_UNITS: Final = ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h"), (float("inf"), 86_400, "days"))


class Seconds(int):
    """A length of time, told in the unit that suits it."""

    def __format__(self, spec: str) -> str:
        """Such as "40 s", "12 min", "3 h", "2 days"."""
        _, size, unit = next(one for one in _UNITS if self < one[0])
        return f"{int(self) // size} {unit}"
