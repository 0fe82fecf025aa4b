"""Dynamic tasks: what a running attempt adds to its own job.

The key is (task, run, name): what a lost or failed attempt has added is not added again by the next one. Only the live
attempt and the accepted one may add. What may not be added fails its task, for it would be missing without a word.
"""

from coordinator.domain.attempt import AttemptEvent
from coordinator.domain.matching import TaskClass
from coordinator.domain.spawning import refusal
from coordinator.domain.task import Task, TaskEvent, TaskState
from coordinator.operations.jobs import Grown
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import Dependent
from coordinator.operations.recurring import Place, Spawner
from coordinator.operations.requests import InvalidError, UnplaceableError
from coordinator.operations.submission import Need, SpecRow, check_known, check_promotions, class_of
from schemas.envelope import FromWorker
from schemas.job import TaskSpec
from schemas.spawn import TaskSpawn


def requirements(spec: TaskSpec, spawner: Spawner) -> TaskClass:
    """What the workers of a spawned task must have."""
    return class_of(spec, spawner.queue)


def spawn(ledger: Ledger, message: FromWorker, event: TaskSpawn) -> None:
    """Add a task, once."""
    known = ledger.recurring
    attempt = ledger.attempts.get((event.task, event.attempt))
    spawner = known.spawners.get(event.task)
    if attempt is None or attempt.worker_id != message.worker or spawner is None:
        return
    attempt.seen_seq = max(attempt.seen_seq, message.seq)
    if not (attempt.live or attempt.accepted) or attempt.run != spawner.run:
        ledger.outgoing.revocations[message.worker].append((event.task, event.attempt, "superseded"))
        return
    task = ledger.tasks[event.task]
    job = ledger.jobs[task.job_id]
    key = (task.id, task.run, event.spec.name)
    if key in known.spawned or job.cancel_requested_at is not None or job.archived_at is not None:
        return
    place = known.places.get(key)
    why = _refusal(ledger, spawner, task, event.spec)
    if why is not None or place is None:
        _refuse(ledger, task, event, why or "it could not be placed")
        return
    row, grown = _make(ledger, task, event.spec, place)
    known.spawned[key] = place
    spawner.spawned += row.count
    known.new_spawns.append((row, job.id, task.id, task.run, spawner.depth + 1, grown))
    detail = {"name": row.name, "first_task": row.first_task, "count": row.count}
    ledger.note_task("task.spawned", task, attempt=attempt, detail=detail)


def _refusal(ledger: Ledger, spawner: Spawner, task: Task, spec: TaskSpec) -> str | None:
    known = ledger.recurring
    for need in spec.after:
        if (task.id, task.run, need.task) not in known.spawned:
            return f"it waits for {need.task!r}, which this run has not added"
    if any(one is not None for one in (spec.not_before, spec.deadline, spec.max_run_s, spec.no_progress_s)):
        return "what is added while the job runs cannot have times of its own"
    try:
        check_promotions(spec)
        if ledger.jobs[task.job_id].policy.known:
            check_known(ledger, spec)
    except (InvalidError, UnplaceableError) as error:
        return str(error)
    of_run = sum(place.count for key, place in known.spawned.items() if key[:2] == (task.id, task.run))
    return refusal(
        len(spec),
        of_run=of_run,
        of_job=spawner.spawned,
        most_of_job=spawner.most,
        depth=spawner.depth + 1,
    )


def _refuse(ledger: Ledger, task: Task, event: TaskSpawn, why: str) -> None:
    said = f"it may not add task {event.spec.name!r}: {why}"
    live = ledger.live.get(task.id)
    detail = {"name": event.spec.name, "reason": why}
    ledger.note_task("task.spawn_refused", task, attempt=live, detail=detail)
    if live is not None and ledger.move(task, TaskEvent.GAVE_UP, reason=said):
        ledger.advance(live, AttemptEvent.REVOKED)
        ledger.outgoing.revocations[live.worker_id].append((live.task_id, live.attempt, said[:200]))
        ledger.note_task("attempt.stopping", task, attempt=live, detail={"reason": said})


def _make(ledger: Ledger, parent: Task, spec: TaskSpec, place: Place) -> tuple[SpecRow, Grown]:
    known, job = ledger.recurring, ledger.jobs[parent.job_id]
    needs = []
    for one in {(one.task, one.after): one for one in spec.after}.values():
        there = known.spawned[parent.id, parent.run, one.task]
        needs.append(Need(one.task, there.first_task, there.count, one.after == "promoted"))
    row = SpecRow(spec, spec.name, place.first_task, len(spec), spec.priority, spec.retries, needs)
    row.id, row.group_id = place.spec_id, place.group_id
    grown = Grown()
    met = [(need, number, _met(ledger, number, promoted=need.promoted)) for need in needs for number in need.tasks()]
    unmet = sum(not there for _, _, there in met)
    group = ledger.groups[row.group_id]
    for number in row.tasks():
        for need, needed, _ in met:
            dependent = Dependent(number, need.promoted)
            grown.dependencies.append((needed, dependent))
            ledger.dependents.setdefault(needed, []).append(dependent)
        state = TaskState.BLOCKED if unmet else TaskState.READY
        task = Task(number, job.id, row.group_id, row.id, state, row.priority, retries=row.retries, unmet=unmet)
        ledger.add_task(task)
        grown.tasks.append(task)
        job.counts[state] += 1
        if state is TaskState.READY:
            group.ready += 1
            ledger.dirty_groups.add(group.id)
            ledger.work_appeared = True
    job.total += row.count
    job.expanded += row.count
    job.spawned += row.count
    ledger.dirty_jobs.add(job.id)
    return row, grown


def _met(ledger: Ledger, number: int, *, promoted: bool) -> bool:
    """Whether a needed task is there, by what this transaction knows best."""
    task = ledger.tasks.get(number)
    if task is None:
        return number in (ledger.recurring.met_promoted if promoted else ledger.recurring.met)
    if task.state is not TaskState.COMPLETED:
        return False
    accepted = ledger.attempts.get((number, task.accepted_attempt or 0))
    return not promoted or (accepted is not None and accepted.promoted_at is not None)
