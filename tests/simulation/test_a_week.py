"""A week of a farm's life, from Monday to Sunday: every rule at once, and the end as it comes out by hand.

Sixty workers of one slot: 41 render machines (r-), nine with GPUs (g-), nine desks that render at night (d-), and one
whose tasks all fail. Four submitters. The clock ticks each hour; tasks end at their own minutes.
"""

from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from coordinator.domain.budget import Scope
from coordinator.operations.limiting import SetLimit
from coordinator.operations.pausing import PauseQueue, ResumeQueue
from coordinator.operations.requests import RequestWorkerState, SetSleepSchedule, SubmitJob
from coordinator.operations.schedules import CreateSchedule
from schemas.job import JobSpec
from schemas.task import AssignedAttempt, Outcome
from schemas.template import ScheduleSpec
from schemas.worker import RequestedState
from tests.simulation.machine import Deed, Machine
from tests.simulation.world import World, a_world

# It waits for nothing, but it is long: on a machine that is busy with other things, minutes.
pytestmark = pytest.mark.timeout(600)

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
#: What a task of each job takes.
TAKES = {
    "film": 2 * HOUR,
    "trailer": HOUR,
    "poster": HOUR,
    "fluid": 4 * HOUR,
    "night": 3.5 * HOUR,
    "model": HOUR,
    "share": HOUR,
    "backup": 0.5 * HOUR,
    "poison": 10 * MINUTE,
}
OFFICE_HOURS = {
    "zone": "Europe/Berlin",
    "asleep": [{"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "20:00"}],
    "lazy": True,
    "within_s": None,
}


def at(day: int, hour: float) -> datetime:
    """*hour* o'clock UTC of a day; 0 is Monday."""
    return MONDAY + day * DAY + hour * HOUR


def a_job(name: str, count: int, **job: Any) -> JobSpec:
    task = {"name": name, "kind": "render", "commands": [{"name": "echo"}], "array": {"count": count}}
    task |= {field: job.pop(field) for field in ("kind", "licenses") if field in job}
    return JobSpec.model_validate({"name": name, "tasks": [task], **job})


def able(attempt: AssignedAttempt) -> Deed:
    """A worker that does what it is given, though nothing survives the poisonous task."""
    name = attempt.name.partition("[")[0]
    return Deed(TAKES[name], dies=name == "poison")


def sick(_: AssignedAttempt) -> Deed:
    """A worker that fails whatever it is given."""
    return Deed(MINUTE, Outcome.FAILED, exit_code=1)


def staff(world: World) -> None:
    """Sixty workers, all there on Monday at midnight."""
    machines = [
        *(world.machine(f"r-{n:02}", able) for n in range(1, 42)),
        *(world.machine(f"g-{n}", able, kinds=["train"], queues=["gpu"]) for n in range(1, 10)),
        *(world.machine(f"d-{n}", able, queues=["night"]) for n in range(1, 10)),
        world.machine("sick", sick),
    ]
    for machine in machines:
        world.at(MONDAY, machine.start)


def script(world: World) -> None:
    """What people ask for."""

    def ask(when: datetime, request: Any) -> None:
        world.at(when, lambda: world.ask(request))

    def submit(when: datetime, who: str, spec: JobSpec) -> None:
        ask(when, SubmitJob(spec, who))

    backup = ScheduleSpec(name="backup", cron="0 2 * * *", timezone="Europe/Berlin", job=a_job("backup", 1))
    ask(MONDAY, CreateSchedule(backup, "op"))
    ask(MONDAY, SetLimit(Scope.LICENSE, "fluids", 3, "op"))
    for n in range(1, 10):
        ask(MONDAY, SetSleepSchedule(f"d-{n}", OFFICE_HOURS, "op"))

    # All render machines are busy with the film when the other two come: only the sick one is free.
    submit(at(0, 1), "ana", a_job("film", 200))
    submit(at(0, 1) + 10 * MINUTE, "ben", a_job("trailer", 40))
    submit(at(0, 1) + 20 * MINUTE, "cyd", a_job("poster", 40))

    submit(at(1, 0), "ben", a_job("fluid", 12, queue="gpu", kind="train", licenses={"fluids": 1}))
    submit(at(1, 1), "dee", a_job("poison", 1))
    for machine in world.machines.values():
        world.at(at(1, 20), partial(_repair, machine))

    submit(at(2, 8), "cyd", a_job("night", 54, queue="night"))
    ask(at(2, 10), RequestWorkerState("r-05", RequestedState.DRAIN, "op", reason="new fans"))

    ask(at(3, 0), PauseQueue("gpu", "op", "new driver"))
    submit(at(3, 1), "ben", a_job("model", 18, queue="gpu", kind="train"))
    ask(at(3, 12), ResumeQueue("gpu", "op"))

    for who in ("ana", "ben", "cyd", "dee"):
        submit(at(4, 2), who, a_job("share", 40, not_before=at(4, 4)))


def _repair(machine: Machine) -> None:
    if not machine.alive:
        machine.start()


@pytest.fixture
async def week(database_url: str) -> Any:
    """The farm on Sunday at midnight."""
    async with a_world(database_url, MONDAY, tick=HOUR) as world:
        staff(world)
        script(world)
        await world.run(at(7, 0))
        yield world


async def test_a_week_ends_as_it_comes_out_by_hand(week: World) -> None:
    jobs = {
        (row["submitter"], row["name"]): (row["state"], row["n_completed"], row["finished_at"])
        for row in await week.rows("SELECT * FROM jobs WHERE name <> 'backup'")
    }
    for who, name, count in (("ana", "film", 200), ("ben", "trailer", 40), ("cyd", "poster", 40)):
        assert jobs[who, name][:2] == ("completed", count)
    # Twelve tasks of four hours, three at a time.
    assert jobs["ben", "fluid"] == ("completed", 12, at(1, 16))
    # Five workers dead, each found an hour apart: enough.
    assert jobs["dee", "poison"] == ("failed", 0, at(1, 6))
    # Wednesday 19:00 to 5:30, four times nine (the last ones end after the night), then Thursday 19:00, twice nine.
    assert jobs["cyd", "night"] == ("completed", 54, at(4, 2))
    # Nothing until the queue goes on at noon; nine at a time.
    assert jobs["ben", "model"] == ("completed", 18, at(3, 14))
    # Four submitters, forty workers: ten for each, four times an hour.
    assert {jobs[who, "share"] for who in ("ana", "ben", "cyd", "dee")} == {("completed", 40, at(4, 8))}

    # 2:00 in Berlin is 1:00 UTC.
    backups = await week.rows("SELECT submitted_at, state FROM jobs WHERE name = 'backup' ORDER BY id")
    assert [tuple(row) for row in backups] == [(at(day, 1), "completed") for day in range(7)]

    endings = Counter(row["ending"] for row in await week.rows("SELECT ending FROM attempts"))
    # Three of the film, until it was blocked there; the backup of 1:00, in between; and at 1:11 one of the trailer,
    # which makes three jobs: 1 / (1 + 2 ** -(7/60) + 2 ** -(9/60) + 1) = 0.26, and the sick worker is quarantined.
    assert endings == {"completed": 531, "failed": 5, "lost": 5}
    assert {row[0] for row in await week.rows("SELECT worker_id FROM attempts WHERE ending = 'failed'")} == {"sick"}
    assert len(await week.rows("SELECT DISTINCT worker_id FROM attempts WHERE ending = 'lost'")) == 5

    workers = {row["id"]: (row["connection"], row["duty"]) for row in await week.rows("SELECT * FROM workers")}
    assert len(workers) == 60
    odd = {name: state for name, state in workers.items() if state != ("online", "awake")}
    assert odd == {"r-05": ("online", "draining"), "sick": ("online", "quarantined")}
    assert not await week.rows("SELECT FROM attempts WHERE worker_id = 'r-05' AND assigned_at > $1", at(2, 10))

    # Of three licenses never more than three were out.
    taken = await week.rows(
        """SELECT max(out) FROM (
               SELECT sum(change) OVER (ORDER BY at, change) AS out
                 FROM attempts a JOIN tasks t ON t.id = a.task_id JOIN jobs j ON j.id = t.job_id,
                      LATERAL (VALUES (a.assigned_at, 1), (a.ended_at, -1)) AS moved(at, change)
                WHERE j.name = 'fluid') AS running"""
    )
    assert taken[0][0] == 3
