"""A submission on its way to being a job: checked against the farm, its tasks numbered, its requirements told.

Storage gives it its numbers; then its tasks are made (`jobs.grow`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from coordinator.domain.budget import Scope
from coordinator.domain.job import Job, Policy
from coordinator.domain.matching import TaskClass
from coordinator.domain.template import element_name, fill_text
from coordinator.domain.times import Times, fault, instant
from coordinator.operations.ledger import Ledger
from coordinator.operations.requests import (
    InvalidError,
    SubmitJob,
    UnplaceableError,
)
from schemas.job import FailAtShare, JobSpec, TaskSpec, inside

#: As many tasks may one task wait for: their names must fit one message when it is assigned.
MAX_NEEDS: Final = 10_000


@dataclass(frozen=True)
class Need:
    """Tasks `first` to `first + count - 1`, called *name*, that a task waits for."""

    name: str
    first: int
    count: int
    promoted: bool

    def tasks(self) -> range:
        """The tasks that are waited for."""
        return range(self.first, self.first + self.count)


@dataclass
class SpecRow:
    """A task as it was submitted, with the numbers of its tasks."""

    spec: TaskSpec | None
    name: str
    first_task: int
    count: int
    priority: int
    retries: int
    after: list[Need]
    times: Times = field(default_factory=Times)
    id: int = 0
    group_id: int = 0

    def tasks(self) -> range:
        """Its tasks."""
        return range(self.first_task, self.first_task + self.count)


@dataclass
class Draft:
    """A submission on its way to being a job: numbered relative to its first task, until storage knows better."""

    spec: JobSpec
    actor: str
    specs: list[SpecRow]
    classes: list[TaskClass]
    origin: Mapping[str, Any] | None = None
    job: Job | None = None

    def number(self, first_task: int) -> None:
        """Its tasks begin at *first_task*."""
        for row in self.specs:
            row.first_task += first_task
            row.after = [Need(n.name, n.first + first_task, n.count, n.promoted) for n in row.after]


def draft(ledger: Ledger, request: SubmitJob) -> Draft:
    """Check a submission against the farm, and number its tasks so that each comes after what it waits for."""
    spec = request.spec
    for task in spec.tasks:
        check_promotions(task)
        if not spec.accept_unknown_kinds:
            check_known(ledger, task)
    ordered = _in_order(spec)
    places: dict[str, tuple[int, int]] = {}
    rows, position = [], 0
    for task in ordered:
        after = [
            Need(need.task, *places[need.task], need.after == "promoted")
            for need in {(n.task, n.after): n for n in task.after}.values()
        ]
        needs = sum(need.count for need in after)
        if needs > MAX_NEEDS:
            raise InvalidError(
                f"task {task.name!r} waits for {needs} tasks, more than {MAX_NEEDS}; join them in several steps"
            )
        times = _times(spec, task, ledger.now)
        rows.append(SpecRow(task, task.name, position, len(task), task.priority, task.retries, after, times))
        places[task.name] = (position, len(task))
        position += len(task)
    return Draft(spec, request.actor, rows, [class_of(task, spec.queue) for task in ordered], request.origin)


def check_known(ledger: Ledger, task: TaskSpec) -> None:
    """Refuse a kind or a license that the farm does not know: a mistyped one would be waited for without end."""
    if ledger.known_kinds and task.kind not in ledger.known_kinds:
        kinds = ", ".join(sorted(ledger.known_kinds))
        raise UnplaceableError(
            f"task {task.name!r} is of kind {task.kind!r}, which no worker has ever offered (known: {kinds}); "
            "start a worker that offers it, or submit with accept_unknown_kinds"
        )
    if not task.licenses:
        return
    known = {name for scope, name in ledger.ruling.rules.limits if scope is Scope.LICENSE}
    for name in task.licenses:
        if name not in known:
            among = ", ".join(sorted(known)) or "none"
            raise UnplaceableError(
                f"task {task.name!r} needs license {name!r}, which this farm does not know (known: {among}); set its "
                f"total with farmhand limits set license:{name}=N, or submit with accept_unknown_kinds"
            )


def check_promotions(task: TaskSpec) -> None:
    """Refuse an array whose values would lead an element's promotion out of the publish root."""
    if task.promote is None or task.array is None or "{{value" not in task.promote:
        return
    for index, value in enumerate(task.array.values or ()):
        path = fill_text(task.promote, index, value)
        try:
            inside(path)
        except ValueError as error:
            raise InvalidError(f"task {element_name(task.name, index, value)!r} cannot be promoted: {error}") from None


def policy_of(spec: JobSpec) -> Policy:
    """What the submitter decided about failure."""
    match spec.on_failure:
        case FailAtShare(share=share):
            fail_share: float | None = share
        case "fail_fast":
            fail_share = 0.0
        case _:
            fail_share = None
    known = not spec.accept_unknown_kinds
    return Policy(fail_share, spec.late_results, spec.max_losses, spec.shortages, spec.block_after, known)


def _times(job: JobSpec, task: TaskSpec, now: datetime) -> Times:
    """What is said of time: the task's own word, else the job's."""
    not_before = job.not_before if task.not_before is None else task.not_before
    deadline = job.deadline if task.deadline is None else task.deadline
    times = Times(
        instant(not_before, now),
        instant(deadline, now),
        task.max_run_s or job.max_run_s,
        task.no_progress_s or job.no_progress_s,
    )
    wrong = fault(times, now)
    if wrong is not None:
        raise InvalidError(f"task {task.name!r} can never be done: {wrong}")
    return times


def class_of(task: TaskSpec, default_queue: str) -> TaskClass:
    """The requirements of *task*, without a number yet."""
    need, commands = task.resources, frozenset(command.name for command in task.commands)
    return TaskClass(
        0,
        task.queue or default_queue,
        task.kind,
        frozenset(task.tags),
        frozenset(task.labels),
        task.zone,
        need.slots,
        need.cpus,
        need.memory_mb,
        need.gpus,
        tuple(sorted(task.licenses.items())),
        exclusive=commands if task.exclusive else frozenset(),
        runners=commands,
        secrets=task.secrets,
        limits=frozenset(name for name, value in task.limits or () if value),
    )


def fingerprint(need: TaskClass) -> str:
    """Equal for equal requirements, and short enough for an index whatever the number of tags."""
    parts: list[Any] = [need.queue, need.kind, ",".join(sorted(need.tags)), ",".join(sorted(need.labels))]
    parts += [need.zone or "", need.slots, need.cpus, need.memory_mb, need.gpus]
    if need.exclusive:
        parts.append(",".join(sorted(need.exclusive)))
    parts += [f"{name}={count}" for name, count in need.licenses]
    for which, words in (("runners", need.runners), ("secrets", need.secrets), ("limits", need.limits)):
        if words:
            parts.append(f"{which}:{','.join(sorted(words))}")
    return sha256("|".join(str(part) for part in parts).encode()).hexdigest()


def _in_order(spec: JobSpec) -> list[TaskSpec]:
    """The tasks, each after all that it waits for (the graph has no cycle: the wire contract refuses one)."""
    by_name = {task.name: task for task in spec.tasks}
    ordered: list[TaskSpec] = []
    done: set[str] = set()
    for start in spec.tasks:
        stack = [(start, iter(start.after))]
        while stack:
            task, rest = stack[-1]
            following = next((n for n in rest if n.task not in done), None)
            if following is not None:
                needed = by_name[following.task]
                stack.append((needed, iter(needed.after)))
                continue
            stack.pop()
            if task.name not in done:
                done.add(task.name)
                ordered.append(task)
    return ordered
