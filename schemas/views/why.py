"""Why tasks wait, and what the farm has too little or too much of, as it is told."""

from datetime import datetime

from pydantic import Field, JsonValue

from schemas.views.base import View
from schemas.views.jobs import TaskState, WaitingClass


class ReasonView(View):
    """A reason: a code for programs, a sentence for people, what to type (empty: only time helps), and who can.

    `facts` are what the words were made of: counts, names, numbers of tasks; `since` is when somebody made it so.
    """

    code: str
    kind: WaitingClass
    sentence: str
    remedy: str
    who: str
    facts: dict[str, JsonValue] = Field(default_factory=dict)
    since: datetime | None = None


class StepView(View):
    """A step of the funnel: so many workers are left that meet this requirement and all before it."""

    words: str
    workers: int


class NearView(View):
    """A worker that lacks little: the codes of the reasons against it, and each in words."""

    worker: str
    reasons: list[str]
    lacks: list[str]


class TaskWhy(View):
    """Why a task (one of `tasks` like it) waits, at `at`: all reasons in their order, `main` the one to begin with.

    A task waits as long as a reason is of another kind than `turn`, `running` and `done`. `workers` is the whole farm,
    `able` are those that nothing speaks against.
    """

    task: int
    job: int
    name: str
    state: TaskState
    tasks: int = 1
    at: datetime
    main: ReasonView
    reasons: list[ReasonView]
    workers: int = 0
    able: int = 0
    funnel: list[StepView]
    nearest: list[NearView]


class JobWhy(View):
    """Why the unfinished tasks of a job wait: tasks that wait for the same reasons are told once."""

    job: int
    name: str
    state: str
    at: datetime
    parts: list[TaskWhy]
