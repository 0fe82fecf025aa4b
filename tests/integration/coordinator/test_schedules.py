"""Schedules: each instant becomes one job, whoever looks; what was missed or overlaps is decided by policy."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from coordinator.operations.requests import ConflictError, InvalidError, NotFoundError
from coordinator.operations.schedules import (
    CreateSchedule,
    PauseSchedule,
    RemoveSchedule,
    ResumeSchedule,
    RunSchedule,
)
from coordinator.operations.templates import CreateTemplate, RemoveTemplate
from coordinator.storage.views import Views
from schemas.template import ScheduleSpec, TemplateSpec
from tests.support.farm import Farm, a_task, running
from tests.support.pool import pooled

CLOCK = (
    "CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT '{}'::timestamptz $$"
)
NIGHT = datetime(2026, 6, 1, 1, 30, tzinfo=UTC)


async def at(farm: Farm, now: datetime) -> None:
    """Set the farm's clock."""
    await farm.rows(CLOCK.format(now.isoformat()))


def a_schedule(**fields: Any) -> ScheduleSpec:
    """Each hour, with a job of one task."""
    job = {"name": "nightly", "tasks": [a_task()], "accept_unknown_kinds": True}
    defaults: dict[str, Any] = {"name": "nightly", "cron": "0 * * * *", "job": job}
    if "template" in fields:
        del defaults["job"]
    return ScheduleSpec.model_validate(defaults | fields)


async def runs(farm: Farm) -> list[tuple[str, int]]:
    """(outcome, hour) of each instant that was decided."""
    rows = await farm.rows("SELECT outcome, instant FROM schedule_runs WHERE NOT by_hand ORDER BY instant")
    return [(row["outcome"], row["instant"].astimezone(UTC).hour) for row in rows]


async def test_two_coordinators_submit_each_instant_once(farm: Farm) -> None:
    await at(farm, NIGHT)
    await farm.desk.ask(CreateSchedule(a_schedule(overlap="allow"), "ana"))
    async with running(farm.database_url, farm.amqp_url):
        for hour in (2, 3):
            await at(farm, datetime(2026, 6, 1, hour, 0, 1, tzinfo=UTC))
            await farm.until("SELECT count(*) = $1 FROM schedule_runs", hour - 1)
        await farm.until(
            "SELECT count(*) = 2 FROM history WHERE event = 'schedule.fired' AND actor = 'schedule/nightly'"
        )

    assert await runs(farm) == [("submitted", 2), ("submitted", 3)]
    jobs = await farm.rows("SELECT key, origin->>'schedule' AS schedule, submitter FROM jobs ORDER BY id")
    assert [tuple(job) for job in jobs] == [
        ("schedule/nightly/2026-06-01T02:00:00Z", "nightly", "ana"),
        ("schedule/nightly/2026-06-01T03:00:00Z", "nightly", "ana"),
    ]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("skip", [("missed", 5), ("submitted", 6)]),
        ("once", [("missed", 5), ("submitted", 6)]),
        ("all", [("missed", 3), ("submitted", 4), ("submitted", 5), ("submitted", 6)]),
    ],
)
async def test_what_nobody_saw_is_made_up_for_as_the_policy_says(
    farm: Farm, missed: str, expected: list[tuple[str, int]]
) -> None:
    await at(farm, NIGHT)
    spec = a_schedule(missed=missed, most_missed=3, overlap="allow")
    await farm.desk.ask(CreateSchedule(spec, "ana"))

    await at(farm, datetime(2026, 6, 1, 6, 0, 30, tzinfo=UTC))
    await farm.until("SELECT next_at > farm_now() FROM schedules")

    assert await runs(farm) == expected


async def test_a_late_look_submits_nothing_under_skip(farm: Farm) -> None:
    await at(farm, NIGHT)
    await farm.desk.ask(CreateSchedule(a_schedule(missed="skip"), "ana"))

    await at(farm, NIGHT + timedelta(hours=1, minutes=10))
    await farm.until("SELECT next_at > farm_now() FROM schedules")

    assert await runs(farm) == [("missed", 2)]
    assert not await farm.rows("SELECT FROM jobs")


@pytest.mark.parametrize(
    ("overlap", "expected", "states"),
    [
        ("skip", ["submitted", "overlapped"], ["active"]),
        ("allow", ["submitted", "submitted"], ["active", "active"]),
        ("replace", ["submitted", "submitted"], ["canceled", "active"]),
    ],
)
async def test_an_instant_meets_the_unfinished_job_of_the_one_before(
    farm: Farm, overlap: str, expected: list[str], states: list[str]
) -> None:
    await at(farm, NIGHT)
    await farm.desk.ask(CreateSchedule(a_schedule(overlap=overlap), "ana"))
    for hour in (2, 3):
        await at(farm, datetime(2026, 6, 1, hour, 0, 1, tzinfo=UTC))
        await farm.until("SELECT count(*) = $1 FROM schedule_runs", hour - 1)

    await farm.until("SELECT array_agg(state ORDER BY id) = $1 FROM jobs", states)
    assert [outcome for outcome, _ in await runs(farm)] == expected


async def test_a_schedule_submits_the_newest_version_of_its_template(farm: Farm) -> None:
    await at(farm, NIGHT)

    def template(**task: Any) -> TemplateSpec:
        asked = [{"name": "n", "type": "integer", "maximum": 9}]
        task = a_task(array={"count": "{{parameters.n}}"}, **task)
        job = {"tasks": [task], "accept_unknown_kinds": True}
        return TemplateSpec.model_validate({"name": "frames", "parameters": asked, "job": job})

    await farm.desk.ask(CreateTemplate(template(), "ana"))
    with pytest.raises(InvalidError, match="parameter 'n' must be at most 9, not 10"):
        await farm.desk.ask(CreateSchedule(a_schedule(template="frames", parameters={"n": 10}), "ana"))
    await farm.desk.ask(CreateSchedule(a_schedule(template="frames", parameters={"n": 3}), "ana"))
    await farm.desk.ask(CreateTemplate(template(priority=80), "ana"))
    with pytest.raises(ConflictError, match="used by schedule 'nightly'"):
        await farm.desk.ask(RemoveTemplate("frames", "ana"))

    await at(farm, NIGHT + timedelta(minutes=31))
    await farm.until("SELECT count(*) = 3 FROM tasks WHERE priority = 80")
    origin = (await farm.rows("SELECT origin->>'version' AS version FROM jobs"))[0]
    assert origin["version"] == "2"


async def test_a_refused_instant_is_written_down_and_the_next_one_tried(farm: Farm) -> None:
    await at(farm, NIGHT)
    await farm.rows(
        "INSERT INTO workers (id, connection, duty, epoch, instance, slots, kinds)"
        " VALUES ('node-1', 'offline', 'awake', 1, gen_random_uuid(), 1, '{render}')"
    )
    job = {"name": "nightly", "tasks": [a_task()]}
    await farm.desk.ask(CreateSchedule(a_schedule(job=job), "ana"))
    await at(farm, NIGHT + timedelta(minutes=30))
    await farm.until("SELECT count(*) = 1 FROM schedule_runs WHERE outcome = 'refused' AND detail LIKE '%echo%'")

    await farm.rows("UPDATE workers SET kinds = '{echo}'")
    await at(farm, NIGHT + timedelta(minutes=90))
    await farm.until("SELECT count(*) = 1 FROM jobs")


async def test_pause_resume_run_and_remove(farm: Farm) -> None:
    await at(farm, NIGHT)
    ask = farm.desk.ask
    await ask(CreateSchedule(a_schedule(), "ana"))
    with pytest.raises(ConflictError, match="already: remove it first"):
        await ask(CreateSchedule(a_schedule(), "ana"))
    await ask(PauseSchedule("nightly", "ana", "holidays"))
    async with pooled(farm.database_url) as pool:
        found = await Views(pool).schedule("nightly")
    assert found.why == "Paused by ana: holidays. Go on with: farmhand schedules resume nightly"
    assert [one.hour for one in found.upcoming] == [2, 3, 4]

    submitted = await ask(RunSchedule("nightly", "bob", "try"))
    assert submitted.created
    await at(farm, NIGHT + timedelta(hours=5))
    await ask(ResumeSchedule("nightly", "ana"))
    next_at = (await farm.rows("SELECT next_at FROM schedules"))[0][0]
    assert next_at == datetime(2026, 6, 1, 7, tzinfo=UTC)
    assert await runs(farm) == []

    await ask(RemoveSchedule("nightly", "ana"))
    with pytest.raises(NotFoundError, match="no schedule 'nightly'"):
        await ask(RunSchedule("nightly", "ana"))
    said = await farm.rows(
        "SELECT event, actor, detail->>'reason' AS reason FROM history WHERE event LIKE 'schedule.%'"
    )
    assert [tuple(row) for row in said] == [
        ("schedule.created", "ana", None),
        ("schedule.paused", "ana", "holidays"),
        ("schedule.fired", "bob", "try"),
        ("schedule.resumed", "ana", None),
        ("schedule.removed", "ana", None),
    ]


async def test_many_instants_at_once_are_each_submitted_once(farm: Farm) -> None:
    await at(farm, NIGHT)
    names = [f"s{number}" for number in range(20)]
    await asyncio.gather(*(farm.desk.ask(CreateSchedule(a_schedule(name=name), "ana")) for name in names))
    await at(farm, NIGHT + timedelta(minutes=30))
    await farm.until("SELECT count(*) = 20 FROM jobs WHERE origin IS NOT NULL")
    assert len(await runs(farm)) == 20
