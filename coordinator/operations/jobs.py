"""What happens to jobs: taken, grown in slices, canceled, requeued.

A submission is checked and drafted here; storage gives it its numbers; then its tasks are made, at most a slice of
them in one transaction. A large cancel goes in slices too: the job says what is left to do, so that any coordinator can
go on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from coordinator.domain.budget import Scope
from coordinator.domain.job import Job, JobState, Policy
from coordinator.domain.matching import TaskClass
from coordinator.domain.task import FINISHED, Task, TaskState
from coordinator.domain.template import element_name, fill_text
from coordinator.domain.times import Times, fault, first_state, instant, missed
from coordinator.operations import tasks
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Dependent, GroupRow
from coordinator.operations.requests import (
    CancelJob,
    Changed,
    ConflictError,
    InvalidError,
    NotFoundError,
    RequeueFailed,
    SubmitJob,
    UnplaceableError,
)
from schemas.job import FailAtShare, JobSpec, TaskSpec, inside

#: Rows of tasks and dependencies that one transaction makes or moves, about.
SLICE: Final = 5000
#: As many tasks may one task wait for: their names must fit one message when it is assigned.
MAX_NEEDS: Final = 10_000
UNFINISHED: Final = frozenset(TaskState) - FINISHED


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


@dataclass
class Growing:
    """A job that has not all its tasks yet, and the specs of the next ones. `met` are tasks that are there already:
    accepted, or (in `met_promoted`) promoted."""

    job: Job
    specs: list[SpecRow]
    met: set[int] = field(default_factory=set)
    met_promoted: set[int] = field(default_factory=set)


# --- submission --------------------------------------------------------------------------------------------


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


@dataclass
class Grown:
    """Rows to be made."""

    tasks: list[Task] = field(default_factory=list)
    dependencies: list[tuple[int, Dependent]] = field(default_factory=list)


def grow(ledger: Ledger, growing: Growing) -> Grown:
    """The next slice of a job's tasks; canceled at once when the job was."""
    job, grown = growing.job, Grown()
    first = job.first_task + job.expanded - job.spawned
    for row, task_id in _next_tasks(growing, first):
        unmet = 0
        for need in row.after:
            met = growing.met_promoted if need.promoted else growing.met
            unmet += need.count - sum(1 for needed in need.tasks() if needed in met)
            grown.dependencies.extend((needed, Dependent(task_id, need.promoted)) for needed in need.tasks())
        state = first_state(row.times, ledger.now, unmet=unmet)
        if job.cancel_requested_at is not None:
            state = TaskState.CANCELED
        task = Task(task_id, job.id, row.group_id, row.id, state, row.priority, retries=row.retries, unmet=unmet)
        if state in (TaskState.BLOCKED, TaskState.SCHEDULED):
            task.not_before = row.times.not_before
        elif state is TaskState.CANCELED:
            task.reason = job.cancel_reason
        elif state is TaskState.FAILED and row.times.deadline is not None:
            task.reason = missed(row.times.deadline)
        job.counts[state] += 1
        job.expanded += 1
        if state is TaskState.READY:
            ledger.groups[row.group_id].ready += 1
            ledger.dirty_groups.add(row.group_id)
            ledger.work_appeared = True
        grown.tasks.append(task)
        if len(grown.tasks) + len(grown.dependencies) >= SLICE:
            break
    ledger.dirty_jobs.add(job.id)
    return grown


def _next_tasks(growing: Growing, first: int) -> Iterator[tuple[SpecRow, int]]:
    for row in growing.specs:
        for task_id in row.tasks():
            if task_id >= first:
                yield row, task_id


def adopt(ledger: Ledger, job: Job, queue: str, groups: list[GroupRow]) -> None:
    """A job that storage has just numbered is part of this transaction."""
    ledger.counted["submitted", queue] += job.total
    ledger.jobs[job.id] = job
    ledger.groups.update((group.id, group) for group in groups)


# --- cancel and requeue ------------------------------------------------------------------------------------


def cancel(ledger: Ledger, request: CancelJob) -> Changed:
    """Cancel a job: at once for assignment (its groups are passed over), row by row in slices."""
    job = _job(ledger, request.job)
    if job.state not in (JobState.ACTIVE, JobState.CANCELING):
        raise ConflictError(f"job {job.id} is {job.state} already; nothing was canceled")
    if job.cancel_requested_at is None:
        job.cancel_requested_at = ledger.now
        job.cancel_reason = request.reason or f"canceled by {request.actor}"
        ledger.dirty_jobs.add(job.id)
        ledger.note_job("job.cancel_requested", job.id, actor=request.actor, detail={"reason": request.reason})
    return cancel_slice(ledger, job.id, request.actor)


def cancel_slice(ledger: Ledger, job_id: int, actor: str) -> Changed:
    """Cancel the slice of the job's tasks that was loaded; the sweep goes on with the rest."""
    job = ledger.jobs[job_id]
    if job.cancel_requested_at is None:
        return Changed(0)
    count = 0
    for task_id in ledger.slices.get(job_id, ()):
        count += tasks.cancel(ledger, ledger.tasks[task_id], actor=actor, reason=job.cancel_reason)
    ledger.dirty_jobs.add(job_id)
    return Changed(count, continues=len(ledger.slices.get(job_id, ())) >= SLICE)


def requeue_failed(ledger: Ledger, request: RequeueFailed) -> Changed:
    """Requeue the failed (and canceled) tasks of a job, a slice at a time: the caller asks again while it continues."""
    job = _job(ledger, request.job)
    if job.archived_at is not None:
        raise ConflictError(f"job {job.id} is archived: its tasks are being removed")
    chosen = ledger.slices.get(request.job, [])
    if not chosen:
        raise ConflictError(f"job {job.id} has no {'failed or canceled' if request.canceled else 'failed'} tasks")
    for task_id in chosen:
        tasks.requeue(ledger, ledger.tasks[task_id], actor=request.actor, reason=request.reason)
    return Changed(len(chosen), continues=len(chosen) >= SLICE)


def _job(ledger: Ledger, job_id: int) -> Job:
    job = ledger.jobs.get(job_id)
    if job is None:
        raise NotFoundError(f"there is no job {job_id}")
    return job
