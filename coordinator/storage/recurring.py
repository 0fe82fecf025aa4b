"""Templates, schedules and changes to jobs: loaded and written for the transactions that speak of them."""

from collections.abc import Collection
from typing import Any, Final

import asyncpg

from coordinator.domain.schedule import Missed, Overlap
from coordinator.operations.jobs import fingerprint
from coordinator.operations.ledger import GroupRow, Ledger
from coordinator.operations.recurring import Recurring, Schedule, Template, Ties, Wanted
from coordinator.operations.schedules import keys_due
from coordinator.storage import rows
from coordinator.storage.growing import class_ids
from coordinator.storage.queries import load
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


async def save(connection: asyncpg.Connection, ledger: Ledger) -> None:
    """Write what assignment must see: priorities and requirements."""
    changed = ledger.recurring
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
