"""Templates, schedules and changes to jobs: loaded and written for the transactions that speak of them."""

from collections.abc import Collection
from typing import Any, Final

import asyncpg

from coordinator.domain.matching import TaskClass
from coordinator.domain.schedule import Missed, Overlap
from coordinator.domain.spawning import MOST_OF_ONE
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import GroupRow
from coordinator.operations.recurring import Place, Recurring, Schedule, Spawner, Template, Ties, Wanted
from coordinator.operations.schedules import keys_due
from coordinator.operations.spawning import requirements
from coordinator.operations.submission import fingerprint
from coordinator.storage import rows
from coordinator.storage.growing import class_ids, insert_tasks, spec_columns
from coordinator.storage.queries import load
from schemas.job import TaskSpec
from schemas.template import TemplateSpec

SQL: Final = load("recurring")
LOAD: Final = load("load")
#: As many runs of a schedule are remembered.
RUNS_KEPT: Final = 100

_SCHEDULE_FIELDS: Final = tuple(
    name for name in Schedule.__dataclass_fields__ if name not in ("missed", "overlap", "unfinished")
)


def template(row: asyncpg.Record) -> Template:
    """A row of templates."""
    return Template(
        row["name"], row["version"], TemplateSpec.model_validate(row["spec"]), row["created_at"], row["created_by"]
    )


def _schedule(row: asyncpg.Record) -> Schedule:
    fields = {name: row[name] for name in _SCHEDULE_FIELDS}
    return Schedule(
        **fields, missed=Missed(row["missed"]), overlap=Overlap(row["overlap"]), unfinished=list(row["unfinished"])
    )


async def load_wanted(connection: asyncpg.Connection, ledger: Ledger, wanted: Wanted) -> tuple[set[str], set[int]]:
    """Load what is *wanted*; the idempotency keys and the jobs that are needed because of it."""
    keys: set[str] = set()
    jobs: set[int] = set()
    known = ledger.recurring
    if wanted.schedules:
        for row in await connection.fetch(SQL["schedules"], list(wanted.schedules)):
            one = known.schedules[row["name"]] = _schedule(row)
            keys.update(keys_due(one, ledger.now))
            jobs.update(one.unfinished)
            if one.template is not None:
                wanted.templates.add((one.template, one.template_version))
    if wanted.templates:
        await _load_templates(connection, known, wanted.templates)
    if wanted.groups_of:
        await _load_groups(connection, ledger, wanted.groups_of)
        jobs.update(wanted.groups_of)
    if wanted.spawns or wanted.adders:
        await _load_spawned(connection, known, {task for task, _ in wanted.spawns} | wanted.adders)
        await _load_spawns(connection, ledger, wanted.spawns)
    if wanted.ties_of:
        for row in await connection.fetch(SQL["ties"], list(wanted.ties_of)):
            known.ties[row["id"]] = Ties(row["keep"], row["stopping"], row["schedule"])
    return keys, jobs


async def _load_templates(
    connection: asyncpg.Connection, known: Recurring, wanted: Collection[tuple[str, int | None]]
) -> None:
    names = list({name for name, _ in wanted})
    for row in await connection.fetch(SQL["templates"], names):
        known.templates[row["name"], None] = template(row)
    for row in await connection.fetch(SQL["template_users"], names):
        known.users.setdefault(row["template"], []).append(row["name"])
    versions = [(name, version) for name, version in wanted if version is not None]
    if versions:
        named, numbers = zip(*versions, strict=True)
        for row in await connection.fetch(SQL["template_versions"], list(named), list(numbers)):
            known.templates[row["name"], row["version"]] = template(row)


async def _load_groups(connection: asyncpg.Connection, ledger: Ledger, jobs: Collection[int]) -> None:
    known = ledger.recurring
    for row in await connection.fetch(SQL["groups_with_classes"], list(jobs)):
        ledger.groups.setdefault(row["id"], GroupRow(*row))
        known.groups_of.setdefault(row["job_id"], []).append(row["id"])
    classes = {ledger.groups[one].class_id for some in known.groups_of.values() for one in some}
    for row in await connection.fetch(LOAD["classes"], list(classes)):
        known.classes[row["id"]] = rows.task_class(row)


async def _load_spawned(connection: asyncpg.Connection, known: Recurring, tasks: Collection[int]) -> None:
    """What these tasks have added already."""
    for row in await connection.fetch(SQL["spawned"], list(tasks)):
        known.spawned[row["parent"], row["parent_run"], row["name"]] = Place(row["first_task"], row["count"])


async def _load_spawns(
    connection: asyncpg.Connection, ledger: Ledger, spawns: Collection[tuple[int, TaskSpec]]
) -> None:
    """Who the spawners are, and numbers for what they add now."""
    if not spawns:
        return
    known = ledger.recurring
    tasks = list({task for task, _ in spawns})
    job_of = {}
    for row in await connection.fetch(SQL["spawners"], tasks):
        job_of[row["id"]] = row["job_id"]
        known.spawners[row["id"]] = Spawner(row["run"], row["depth"], row["queue"], row["spawned"], row["max_spawned"])
    new: dict[tuple[int, int, str], tuple[TaskSpec, TaskClass]] = {}
    for task, spec in spawns:
        spawner = known.spawners.get(task)
        if spawner is not None and (task, spawner.run, spec.name) not in known.spawned:
            new.setdefault((task, spawner.run, spec.name), (spec, requirements(spec, spawner)))
    numbers = await class_ids(connection, [need for _, need in new.values()])
    for key, (spec, need) in new.items():
        [group] = await connection.fetch(SQL["group_for"], job_of[key[0]], numbers[fingerprint(need)])
        ledger.groups.setdefault(group["id"], GroupRow(*group))
        if len(spec) > MOST_OF_ONE:
            continue  # to be refused
        [(spec_id, last)] = await connection.fetch(SQL["spawn_numbers"], len(spec))
        known.places[key] = Place(last - len(spec) + 1, len(spec), spec_id, group["id"])
    names = [known.spawned.get((*key[:2], need.task)) for key, (spec, _) in new.items() for need in spec.after]
    ranges = [(one.first_task, one.first_task + one.count - 1) for one in names if one is not None]
    if ranges:
        firsts, lasts = zip(*ranges, strict=True)
        for row in await connection.fetch(LOAD["accepted_in"], list(firsts), list(lasts)):
            known.met.add(row["id"])
            if row["promoted"]:
                known.met_promoted.add(row["id"])


async def _insert_spawns(connection: asyncpg.Connection, ledger: Ledger, spawns: Collection[Any]) -> None:
    for spec, job, parent, run, depth, grown in spawns:
        counts = ledger.jobs[job]
        await connection.execute(SQL["spawn_total"], job, counts.total, counts.spawned)
        columns = [column[0] for column in spec_columns([spec])[:10]]
        await connection.execute(SQL["add_spawned"], spec.id, job, parent, run, depth, *columns)
        await insert_tasks(connection, grown)


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write what assignment must see: priorities and requirements."""
    changed = ledger.recurring
    if changed.new_spawns:
        await _insert_spawns(connection, ledger, changed.new_spawns)
        changed.new_spawns.clear()
    if changed.priorities:
        await connection.execute(SQL["priorities"], list(changed.priorities), list(changed.priorities.values()))
        changed.priorities.clear()
    if changed.reclassed:
        numbers = await class_ids(connection, list(changed.reclassed.values()))
        for group, need in changed.reclassed.items():
            ledger.groups[group].class_id = numbers[fingerprint(need)]
        found = [ledger.groups[group].class_id for group in changed.reclassed]
        await connection.execute(SQL["reclass"], list(changed.reclassed), found)
        changed.reclassed.clear()


async def finish(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write the rest, once."""
    changed = ledger.recurring
    if changed.keeps:
        await connection.execute(SQL["keeps"], list(changed.keeps), list(changed.keeps.values()))
    if changed.archived:
        jobs, actors, reasons = zip(*changed.archived, strict=True)
        await connection.execute(SQL["archive"], ledger.now, list(jobs), list(actors), list(reasons))
    for name in changed.removed_templates:
        await connection.execute(SQL["remove_templates"], [name])
    for made in changed.new_templates:
        values = made.spec.model_dump(mode="json", exclude_defaults=True)
        await connection.execute(SQL["add_template"], made.name, made.version, values, made.created_at, made.created_by)
    await _schedules(connection, ledger, changed)


async def _schedules(connection: asyncpg.Connection, ledger: Ledger, changed: Recurring) -> None:
    for gone in changed.removed_schedules:
        await connection.execute(SQL["remove_schedule"], gone.id)
    for one in changed.new_schedules:
        if changed.schedules.get(one.name) is one:
            one.id = await connection.fetchval(SQL["add_schedule"], *_schedule_values(one), ledger.now, one.created_by)
    for run in changed.runs:
        if run.draft is not None and run.draft.job is not None:
            run.job_id = run.draft.job.id
        if run.job_id is not None:
            run.schedule.last_job = run.job_id
            changed.dirty_schedules.add(run.schedule.name)
        values = (run.instant, run.by_hand, ledger.now, run.outcome, run.job_id, run.detail)
        await connection.execute(SQL["add_run"], run.schedule.id, *values)
        await connection.execute(SQL["prune_runs"], run.schedule.id, RUNS_KEPT)
    for name in changed.dirty_schedules & changed.schedules.keys():
        one = changed.schedules[name]
        await connection.execute(
            SQL["save_schedule"], one.id, one.next_at, one.last_job, one.paused_at, one.paused_by, one.pause_reason
        )


def _schedule_values(one: Schedule) -> tuple[Any, ...]:
    return (
        one.name, one.cron, one.timezone, one.missed.value, one.most_missed, one.overlap.value, one.job, one.template,
        one.template_version, one.parameters, one.next_at,
    )  # fmt: skip
