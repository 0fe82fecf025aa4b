"""New jobs and their tasks: numbers are reserved in blocks, rows go in by COPY."""

from collections.abc import Collection, Sequence

import asyncpg

from coordinator.domain.job import Job, JobState
from coordinator.domain.matching import TaskClass
from coordinator.domain.times import Times
from coordinator.operations.jobs import SLICE, Growing, Grown, adopt
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import GroupRow
from coordinator.operations.submission import Draft, Need, SpecRow, fingerprint, policy_of
from coordinator.storage import rows
from coordinator.storage.queries import load
from coordinator.storage.rows import as_json

LOAD = load("load")
SAVE = load("save")


async def insert_jobs(connection: asyncpg.Connection, ledger: Ledger, drafts: Sequence[Draft]) -> list[Growing]:
    """Insert jobs, classes, groups and specs; the first tasks are for `grow` to make."""
    ids = await class_ids(connection, [need for draft in drafts for need in draft.classes])
    return [await _insert_job(connection, ledger, draft, ids) for draft in drafts]


async def class_ids(connection: asyncpg.Connection, needs: Sequence[TaskClass]) -> dict[str, int]:
    """The numbers of the classes with these requirements, by fingerprint; those that are missing are made."""
    by_print = {fingerprint(need): need for need in needs}
    prints = list(by_print)
    found = {row["fingerprint"]: row["id"] for row in await connection.fetch(SAVE["class_ids"], prints)}
    missing = [one for one in prints if one not in found]
    if missing:
        new = [by_print[one] for one in missing]
        await connection.execute(
            SAVE["add_classes"],
            missing,
            [need.queue for need in new],
            [need.kind for need in new],
            [",".join(sorted(need.tags)) for need in new],
            [",".join(sorted(need.labels)) for need in new],
            [need.zone for need in new],
            [need.slots for need in new],
            [need.cpus for need in new],
            [need.memory_mb for need in new],
            [need.gpus for need in new],
            [",".join(sorted(need.exclusive)) for need in new],
            [as_json(dict(need.licenses)) for need in new],
            [",".join(sorted(need.runners)) for need in new],
            [",".join(sorted(need.secrets)) for need in new],
            [",".join(sorted(need.limits)) for need in new],
        )
        found.update((row["fingerprint"], row["id"]) for row in await connection.fetch(SAVE["class_ids"], missing))
    return found


async def _insert_job(connection: asyncpg.Connection, ledger: Ledger, draft: Draft, known: dict[str, int]) -> Growing:
    spec = draft.spec
    total = spec.total
    first = await connection.fetchval(SAVE["reserve_tasks"], total) - total + 1
    draft.number(first)
    policy, submitter = policy_of(spec), spec.submitter or draft.actor
    number = await connection.fetchval(
        SAVE["add_job"],
        spec.name,
        spec.key,
        submitter,
        spec.queue,
        spec.priority,
        total,
        first,
        ledger.now,
        rows.policy_values(policy),
        watched := any(row.times.watched for row in draft.specs),
        spec.limit,
    )
    if draft.origin or spec.keep or "max_spawned" in spec.model_fields_set:
        await connection.execute(SAVE["mark_job"], number, draft.origin, spec.keep, spec.max_spawned)
    wanted = [known[fingerprint(need)] for need in draft.classes]
    groups = [GroupRow(*row) for row in await connection.fetch(SAVE["add_groups"], number, sorted(set(wanted)))]
    by_class = {group.class_id: group.id for group in groups}
    for row, class_id in zip(draft.specs, wanted, strict=True):
        row.group_id = by_class[class_id]
    ids = await connection.fetch(SAVE["add_specs"], number, *spec_columns(draft.specs))
    by_first = {row["first_task"]: row["id"] for row in ids}
    for row in draft.specs:
        row.id = by_first[row.first_task]
    draft.job = Job(number, spec.priority, JobState.ACTIVE, total, 0, first, submitter, watched=watched, policy=policy)
    draft.job.task_limit = spec.limit
    adopt(ledger, draft.job, spec.queue, groups)
    ledger.note_job(
        "job.submitted",
        number,
        actor=draft.actor,
        detail={"tasks": total, "first_task": first} | dict(draft.origin or {}),
    )
    return Growing(draft.job, draft.specs)


def spec_columns(specs: Sequence[SpecRow]) -> list[list[object]]:
    """The columns of save.sql's `add_specs`, but the job."""
    columns: list[list[object]] = [[] for _ in range(14)]
    for row in specs:
        spec = row.spec
        if spec is None:
            raise ValueError("a spec that is loaded is not to be inserted")
        body = spec.model_dump(
            mode="json", include={"kind", "commands", "environment", "resources", "promote", "upload"}
        )
        if spec.limits is not None:
            body["limits"] = spec.limits.model_dump(exclude_defaults=True)
        if spec.exclusive:
            body["exclusive"] = True
        body["has_places"] = "{{" in spec.model_dump_json(include={"commands", "environment", "promote", "upload"})
        if row.times.max_run_s is not None:
            body["max_run_s"] = row.times.max_run_s
        after = [
            {"name": need.name, "first": need.first, "count": need.count, "promoted": need.promoted}
            for need in row.after
        ]
        values = (
            row.group_id,
            row.name,
            row.first_task,
            row.count,
            spec.array is not None,
            as_json(spec.array.values if spec.array else None),
            row.priority,
            row.retries,
            as_json(after),
            as_json(body),
            row.times.not_before,
            row.times.deadline,
            row.times.max_run_s,
            row.times.no_progress_s,
        )
        for column, value in zip(columns, values, strict=True):
            column.append(value)
    return columns


async def growing(connection: asyncpg.Connection, ledger: Ledger, jobs: Collection[int]) -> list[Growing]:
    """Those of *jobs* that lack tasks, with the specs of the next ones and what of their needs is met."""
    found = []
    for number in jobs:
        job = ledger.jobs.get(number)
        if job is None or job.expanded >= job.total:
            continue
        for row in await connection.fetch(LOAD["groups_of_jobs"], [number]):
            ledger.groups.setdefault(row["id"], GroupRow(*row))
        following = job.first_task + job.expanded - job.spawned
        specs = [
            SpecRow(
                None,
                row["name"],
                row["first_task"],
                row["count"],
                row["priority"],
                row["retries"],
                [Need(**need) for need in row["after"]],
                Times(row["not_before"], row["deadline"]),
                row["id"],
                row["group_id"],
            )
            for row in await connection.fetch(LOAD["next_specs"], number, following, SLICE)
        ]
        one = Growing(job, specs)
        ranges = {(need.first, need.first + need.count - 1) for spec in specs for need in spec.after}
        if ranges:
            firsts, lasts = zip(*ranges, strict=True)
            for row in await connection.fetch(LOAD["accepted_in"], list(firsts), list(lasts)):
                one.met.add(row["id"])
                if row["promoted"]:
                    one.met_promoted.add(row["id"])
        found.append(one)
    return found


async def insert_tasks(connection: asyncpg.Connection, grown: Grown) -> None:
    """Insert the rows of a slice."""
    if grown.tasks:
        await connection.copy_records_to_table(
            "tasks", records=[rows.task_record(task) for task in grown.tasks], columns=rows.TASK_COLUMNS
        )
    if grown.dependencies:
        await connection.copy_records_to_table(
            "dependencies",
            records=[(one.task_id, needed, one.promoted) for needed, one in grown.dependencies],
            columns=("task_id", "needs", "promoted"),
        )
