"""Jobs as people submit them: tasks, what they need, and what they wait for.

A task with an `array` stands for many tasks that differ in one item only; its name, parameters, environment and
`promote` may hold `{{index}}`, `{{value}}` or `{{value.key}}`, replaced when an element is assigned. Depending on an
array's name means depending on all of its elements.
"""

import json
import re
from collections import Counter
from functools import cached_property
from typing import Annotated, Final, Literal

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StringConstraints,
    field_validator,
    model_validator,
)

from schemas.base import Line, Parameters, Strict, Word
from schemas.task import Command, Limits, Resources, SecretRef, secrets_named

#: A task's specification, as JSON, may take this many bytes; larger things travel by reference.
MAX_SPEC_BYTES: Final = 32 * 1024
#: What one task waits for is told to its worker with its specification, in one message: room for both, in bytes.
MAX_TOLD_BYTES: Final = 62 * 1024
#: What the numbers of one input take around its name, and an attempt's number with its comma.
_INPUT_BYTES: Final = 40
_NUMBER_BYTES: Final = 3
#: As many tasks may one job have, and as many dependencies between them.
MAX_TASKS: Final = 1_000_000

#: As many names of a cycle are shown.
_SHOWN: Final = 20

Priority = Annotated[int, Field(ge=0, le=100)]
LONGEST_DELAY_S: Final = 366 * 86400
_DELAY: Final = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def _delay(value: object) -> object:
    """`90s`, `10m`, `2h`, `1d12h` are seconds; a number is never an instant."""
    if isinstance(value, int | float) and not 0 <= value <= LONGEST_DELAY_S:
        raise ValueError(f"should be 0 to {LONGEST_DELAY_S} seconds, or a date and time with its zone")
    match = _DELAY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return value
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + seconds


#: An instant with its zone, or seconds from the submission; `2h` is such a delay too.
Moment = Annotated[AwareDatetime | Annotated[float, Field(ge=0, le=LONGEST_DELAY_S)], BeforeValidator(_delay)]
#: Seconds; `2h` is understood.
Duration = Annotated[float, Field(gt=0, le=LONGEST_DELAY_S), BeforeValidator(_delay)]
EnvironmentName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")]


class CommandSpec(Command):
    """A command as a person writes it: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")

    @field_validator("parameters")
    @classmethod
    def _no_secret_arguments(cls, value: Parameters) -> Parameters:
        for name, parameter in value.items():
            if name != "env" and _lists_a_secret(parameter):
                raise ValueError(
                    f"{name}: a secret cannot be an argument, for arguments are seen by every user of a machine; "
                    "put it into the environment, and let the program read it there"
                )
        return value


def _lists_a_secret(parameter: JsonValue) -> bool:
    """Whether a reference to a secret is an item of a list in *parameter*."""
    if isinstance(parameter, list):
        return any((isinstance(item, dict) and set(item) == {"secret"}) or _lists_a_secret(item) for item in parameter)
    return isinstance(parameter, dict) and any(_lists_a_secret(item) for item in parameter.values())


class ResourcesSpec(Resources):
    """Resources as a person writes them: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class LimitsSpec(Limits):
    """Limits as a person writes them: unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


class Array(Strict):
    """The items of an array task: `count` elements (0 to count - 1), or one element per value."""

    count: Annotated[int, Field(ge=1, le=MAX_TASKS)] | None = None
    values: Annotated[list[JsonValue], Field(min_length=1, max_length=100_000)] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> "Array":
        if (self.count is None) == (self.values is None):
            raise ValueError("give either count or values")
        return self

    @property
    def longest_value(self) -> int:
        """Bytes that the longest value takes within a JSON text, at most."""
        texts = (value if isinstance(value, str) else json.dumps(value) for value in self.values or ())
        return max((len(json.dumps(text)) for text in texts), default=0)

    def __len__(self) -> int:
        return self.count if self.count is not None else len(self.values or ())


class Dependency(Strict):
    """Waits until the named task is accepted, or until its outputs are at their known path (`promoted`)."""

    task: Line
    after: Literal["accepted", "promoted"] = "accepted"


class TaskSpec(Strict):
    """One task, or an array of them.

    `kind` is what workers are matched by; `tags` are what a worker says of itself, `labels` what an operator has
    approved. `not_before` is when it may start, `deadline` by when it must be done (it fails if it is not); `max_run_s`
    is how long an attempt may run, `no_progress_s` how long it may give neither log nor progress. `retries` is how many
    more attempts a failed task gets. `promote` is the path below the publish root where the accepted outputs go;
    `upload` are patterns of output files to keep a copy of on the coordinator. An `exclusive`
    task never runs in two places at a time, whatever dies. `licenses` are how many of which farm-wide licenses a task
    takes while a worker holds it.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    kind: Word
    commands: Annotated[list[CommandSpec], Field(min_length=1, max_length=100)]
    array: Array | None = None
    queue: Word | None = None
    priority: Priority = 50
    tags: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    labels: Annotated[list[Word], Field(max_length=32)] = Field(default_factory=list)
    zone: Word | None = None
    resources: ResourcesSpec = ResourcesSpec()
    after: Annotated[list[Dependency], Field(max_length=10_000)] = Field(default_factory=list)
    environment: dict[EnvironmentName, str | SecretRef] = Field(default_factory=dict)
    retries: Annotated[int, Field(ge=0, le=100)] = 3
    not_before: Moment | None = None
    deadline: Moment | None = None
    max_run_s: Duration | None = None
    no_progress_s: Duration | None = None
    promote: str | None = None
    upload: Annotated[list[Line], Field(max_length=32)] = Field(default_factory=list)
    exclusive: bool = False
    limits: LimitsSpec | None = None
    licenses: Annotated[dict[Word, Annotated[int, Field(ge=1, le=10_000)]], Field(max_length=16)] = Field(
        default_factory=dict
    )

    @field_validator("after", mode="before")
    @classmethod
    def _names_alone(cls, value: object) -> object:
        """`after: [frames]` is short for `after: [{task: frames}]`."""
        if isinstance(value, list):
            return [{"task": item} if isinstance(item, str) else item for item in value]
        return value

    @field_validator("promote")
    @classmethod
    def _inside(cls, value: str | None) -> str | None:
        if value is not None:
            inside(value)
        return value

    @model_validator(mode="after")
    def _fits(self) -> "TaskSpec":
        if self.told_bytes > MAX_SPEC_BYTES:
            which = "of an element takes up to" if self.array and self.array.values else "takes"
            raise ValueError(
                f"the specification {which} {self.told_bytes} bytes, more than the {MAX_SPEC_BYTES} allowed; "
                "pass large data by reference"
            )
        return self

    @cached_property
    def secrets(self) -> frozenset[str]:
        """The secrets that it asks for: in its environment, and in that of its commands."""
        return frozenset(secrets_named(self.environment, self.commands))

    @cached_property
    def told_bytes(self) -> int:
        """The specification's size as JSON, at most, with an array's values filled in."""
        text = self.model_dump_json(exclude={"array", "after"})
        places = text.count("{{") if self.array and self.array.values else 0
        return len(text.encode()) + (places * self.array.longest_value if self.array and places else 0)

    def __len__(self) -> int:
        """How many tasks it stands for."""
        return len(self.array) if self.array else 1


class FailAtShare(Strict):
    """A job fails when this part of its tasks has failed for good: 0.1 is every tenth."""

    share: Annotated[float, Field(gt=0, le=1)]


class JobSpec(Strict):
    """A job: tasks with dependencies.

    `key` makes a submission idempotent: a second one with the same key answers with the first one's job.
    `queue` is the queue of tasks that name none. Kinds that no worker of the farm ever offered are refused, unless
    `accept_unknown_kinds` is set. `not_before`, `deadline`, `max_run_s` and `no_progress_s` hold for the tasks that say
    nothing of their own. `limit` is how many of its tasks may be held by workers at once.

    `on_failure`: what the final failure of a task does to the others: nothing (`continue`), all are canceled
    (`fail_fast`), or that when a share of all has failed. `late_results`: what becomes of a result that comes when its
    attempt was given up and the task is not finished yet. `max_losses`: a task that was lost with so many workers is
    poison. `shortages`: how often a task is tried again that ran short of memory, disk or time. `block_after`: a worker
    that failed so many of the job's tasks of one kind gets no more of these (0: it always does).
    `keep`: the finished job is never archived. `max_spawned`: so many tasks may its tasks add to it while they run.
    """

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    tasks: Annotated[list[TaskSpec], Field(min_length=1, max_length=100_000)]
    priority: Priority = 50
    queue: Word = "default"
    submitter: Line = ""
    key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    accept_unknown_kinds: bool = False
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    on_failure: Literal["continue", "fail_fast"] | FailAtShare = "continue"
    late_results: Literal["reject", "accept"] = "reject"
    max_losses: Annotated[int, Field(ge=1, le=100)] = 5
    shortages: Annotated[int, Field(ge=0, le=100)] = 3
    block_after: Annotated[int, Field(ge=0, le=1000)] = 3
    not_before: Moment | None = None
    deadline: Moment | None = None
    max_run_s: Duration | None = None
    no_progress_s: Duration | None = None
    keep: bool = False
    max_spawned: Annotated[int, Field(ge=0, le=100_000)] = 10_000

    @model_validator(mode="after")
    def _graph(self) -> "JobSpec":
        if self.total > MAX_TASKS:
            raise ValueError(f"{self.total} tasks, more than the {MAX_TASKS} one job may have")
        names = [task.name for task in self.tasks]
        if len(set(names)) != len(names):
            twice, _ = Counter(names).most_common(1)[0]
            raise ValueError(f"two tasks are named {twice!r}; names tell tasks apart")
        refuse_unknown_and_cyclic({task.name: [d.task for d in task.after] for task in self.tasks})
        self._refuse_untellable()
        return self

    def _refuse_untellable(self) -> None:
        counts = {task.name: len(task) for task in self.tasks}
        for task in self.tasks:
            waits = {need.task for need in task.after}
            told = sum(len(json.dumps(name)) + _INPUT_BYTES + _NUMBER_BYTES * counts[name] for name in waits)
            if told + task.told_bytes > MAX_TOLD_BYTES:
                raise ValueError(
                    f"task {task.name!r} waits for more than can be told to its worker "
                    f"({sum(counts[name] for name in waits)} tasks); join them in several steps"
                )

    @property
    def total(self) -> int:
        """How many tasks it stands for, arrays expanded."""
        return sum(len(task) for task in self.tasks)


def inside(path: str) -> None:
    """Raise ValueError unless *path* is relative, POSIX, and stays below its root."""
    parts = path.split("/")
    if (
        not path
        or path.startswith("/")
        or "\\" in path
        or "\x00" in path
        or ".." in parts
        or (len(path) > 1 and path[1] == ":")
    ):
        raise ValueError(f"{path!r} is not a relative path below its root")


def refuse_unknown_and_cyclic(needs: dict[str, list[str]]) -> None:
    """Raise ValueError when a name in *needs* (task -> tasks it waits for) is unknown, or on a cycle, naming it."""
    for name, others in needs.items():
        for other in others:
            if other not in needs:
                raise ValueError(f"task {name!r} waits for {other!r}, which is not in this job")
    done: set[str] = set()
    for start, first in needs.items():
        path = [] if start in done else [start]
        on_path = set(path)
        stack = [(start, iter(first))] if path else []
        while stack:
            name, rest = stack[-1]
            following = next((other for other in rest if other not in done), None)
            if following is None:
                stack.pop()
                done.add(path.pop())
                on_path.discard(name)
            elif following in on_path:
                cycle = [*path[path.index(following) :], following]
                raise ValueError("cycle: " + " -> ".join(cycle if len(cycle) <= _SHOWN else [*cycle[:_SHOWN], "…"]))
            else:
                path.append(following)
                on_path.add(following)
                stack.append((following, iter(needs[following])))
