"""What a batch of events needs to see of the farm: each event says its own, storage loads all of it at once."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from coordinator.domain.task import TaskState
from coordinator.operations.recurring import Wanted as RecurringWanted

Key = tuple[int, int]


@dataclass
class Wanted:
    """What a batch of events needs to see. Each event adds its own; storage loads all of it at once."""

    workers: set[str] = field(default_factory=set)
    #: Workers with every attempt that they hold.
    holders: set[str] = field(default_factory=set)
    #: Tasks with their live attempt, group and job.
    tasks: set[int] = field(default_factory=set)
    #: Attempts that are not live any more and are named all the same.
    attempts: set[Key] = field(default_factory=set)
    #: Tasks of which the dependents are needed.
    dependents_of: set[int] = field(default_factory=set)
    jobs: set[int] = field(default_factory=set)
    #: Idempotency keys of submissions, and whether the kinds known to the farm are needed.
    keys: set[str] = field(default_factory=set)
    kinds: bool = False
    #: Job -> the states of which a slice of tasks is needed.
    slices: dict[int, frozenset[TaskState]] = field(default_factory=dict)
    #: Jobs of which the next slice of tasks is to be made.
    growing: set[int] = field(default_factory=set)
    due: bool = False
    overdue: bool = False
    undelivered: bool = False
    #: Seconds of silence from which on workers are needed; suspects always are, and so are the guards.
    silent_s: float | None = None
    guards: bool = False
    parked: set[int] = field(default_factory=set)
    duties: set[str] = field(default_factory=set)
    #: Names of API tokens that are not revoked.
    tokens: set[str] = field(default_factory=set)
    recurring: RecurringWanted = field(default_factory=RecurringWanted)
    #: Jobs of which the blocklists are needed.
    marks_of: set[int] = field(default_factory=set)
    #: Workers with a schedule or a deadline that is due, those that may be idle, those gone for so long.
    tending: bool = False
    idle: bool = False
    gone_for: timedelta | None = None
    rules: bool = False
    #: Workers behind gateways of which the signs of life are needed.
    foreign: set[str] = field(default_factory=set)
    #: And those that perhaps only say that they live, with their calls: what they hold is needed where one begins
    #: another life of theirs, their row where one changes something of it, and else a part of that.
    callers: dict[str, list[Any]] = field(default_factory=dict)
    #: Attempts of which it is enough to know whose they are, and how it stands with them.
    glances: set[Key] = field(default_factory=set)
