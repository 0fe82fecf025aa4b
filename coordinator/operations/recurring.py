"""The part of a transaction that only templates, schedules and changes to jobs need: what it knows and what it changes.

A transaction that speaks of none of these pays nothing for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from coordinator.domain.matching import TaskClass
from coordinator.domain.schedule import Missed, Overlap
from schemas.job import TaskSpec
from schemas.template import TemplateSpec


@dataclass(frozen=True)
class Template:
    """A version of a template, as it is kept."""

    name: str
    version: int
    spec: TemplateSpec
    created_at: datetime | None = None
    created_by: str = ""


@dataclass
class Schedule:
    """A schedule's row. `unfinished` are the jobs of its runs that are not finished."""

    name: str
    cron: str
    timezone: str
    missed: Missed
    most_missed: int
    overlap: Overlap
    job: Mapping[str, Any] | None
    template: str | None
    template_version: int | None
    parameters: Mapping[str, Any]
    next_at: datetime | None
    created_by: str
    id: int = 0
    last_job: int | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None
    pause_reason: str | None = None
    unfinished: list[int] = field(default_factory=list)


@dataclass
class Run:
    """What became of an instant. `draft` is the job on its way; it has its number when the run is written."""

    schedule: Schedule
    instant: datetime
    outcome: str
    by_hand: bool = False
    detail: str | None = None
    job_id: int | None = None
    draft: Any = None


@dataclass
class Wanted:
    """What is to be loaded."""

    #: (name, version; None is the newest)
    templates: set[tuple[str, int | None]] = field(default_factory=set)
    schedules: set[str] = field(default_factory=set)
    #: Jobs of which all groups are needed, with their classes.
    groups_of: set[int] = field(default_factory=set)
    #: Jobs of which is to be known what speaks against their removal.
    ties_of: set[int] = field(default_factory=set)
    #: (task, what it adds)
    spawns: list[tuple[int, TaskSpec]] = field(default_factory=list)

    #: Tasks whose report names what they have added.
    adders: set[int] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.templates or self.schedules or self.groups_of or self.ties_of or self.spawns or self.adders)


@dataclass
class Spawner:
    """A task that adds others: its run, its depth, its job's queue, and how many the job has and may have."""

    run: int
    depth: int
    queue: str
    spawned: int
    most: int


@dataclass(frozen=True)
class Place:
    """Numbers for a spawned task (or `count` of them)."""

    first_task: int
    count: int
    spec_id: int = 0
    group_id: int = 0


class Ties(NamedTuple):
    """What may speak against the removal of a job: the wish to keep it, attempts that have not ended, a schedule that
    has it as its last run."""

    keep: bool
    stopping: int
    schedule: str | None


@dataclass
class Recurring:
    """What was loaded, and what changed."""

    templates: dict[tuple[str, int | None], Template] = field(default_factory=dict)
    #: Template -> the schedules that use it.
    users: dict[str, list[str]] = field(default_factory=dict)
    schedules: dict[str, Schedule] = field(default_factory=dict)
    #: Job -> its groups; group -> its class.
    groups_of: dict[int, list[int]] = field(default_factory=dict)
    classes: dict[int, TaskClass] = field(default_factory=dict)
    ties: dict[int, Ties] = field(default_factory=dict)
    spawners: dict[int, Spawner] = field(default_factory=dict)
    #: (task, run, name) -> what was spawned; and places for what is to be.
    spawned: dict[tuple[int, int, str], Place] = field(default_factory=dict)
    places: dict[tuple[int, int, str], Place] = field(default_factory=dict)
    met: set[int] = field(default_factory=set)
    met_promoted: set[int] = field(default_factory=set)
    # what changed
    new_templates: list[Template] = field(default_factory=list)
    removed_templates: set[str] = field(default_factory=set)
    new_schedules: list[Schedule] = field(default_factory=list)
    dirty_schedules: set[str] = field(default_factory=set)
    removed_schedules: list[Schedule] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    #: Jobs that instants submit, for the writer to make (`jobs.Draft`).
    drafts: list[Any] = field(default_factory=list)
    #: Jobs that are canceled slice by slice from here on.
    canceling: set[int] = field(default_factory=set)
    priorities: dict[int, int] = field(default_factory=dict)
    keeps: dict[int, bool] = field(default_factory=dict)
    #: Group -> the requirements that its tasks have from now on.
    reclassed: dict[int, TaskClass] = field(default_factory=dict)
    #: (job, actor, reason)
    archived: list[tuple[int, str, str | None]] = field(default_factory=list)
    #: (specification, job, task, run, depth, rows), for storage to insert.
    new_spawns: list[Any] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        return bool(
            self.new_templates
            or self.removed_templates
            or self.new_schedules
            or self.dirty_schedules
            or self.removed_schedules
            or self.runs
            or self.priorities
            or self.keeps
            or self.reclassed
            or self.archived
            or self.new_spawns
        )
