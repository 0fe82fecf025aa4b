"""Workers over days: nights by schedule across the change of the clocks, a deadline, an idle machine."""

from datetime import UTC, datetime, timedelta
from typing import Any

from coordinator.domain.idle import IdleAction, IdlePolicy
from coordinator.operations.requests import RequestWorkerState, SetIdlePolicy, SetSleepSchedule, SubmitJob
from schemas.job import JobSpec
from schemas.worker import RequestedState
from tests.simulation.machine import Deed
from tests.simulation.world import World, a_world

FRIDAY = datetime(2026, 3, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NIGHT = {
    "zone": "Europe/Berlin",
    "asleep": [{"days": [], "start": "22:00", "end": "06:00"}],
    "lazy": True,
    "within_s": 3600,
}


def a_job(count: int = 1) -> SubmitJob:
    task = {"name": "frame", "kind": "render", "commands": [{"name": "echo"}], "array": {"count": count}}
    return SubmitJob(JobSpec.model_validate({"name": "shot", "tasks": [task]}), "ana")


async def story(world: World, *events: str) -> list[tuple[str, str]]:
    """When (in UTC) which of *events* happened to the worker."""
    rows: list[Any] = await world.rows(
        "SELECT at, event FROM history WHERE worker_id = 'desk' AND event = ANY($1::text[]) ORDER BY id", list(events)
    )
    return [(f"{row['at'].astimezone(UTC):%a %H:%M}", row["event"].removeprefix("worker.")) for row in rows]


async def test_a_worker_sleeps_its_nights_also_when_the_clocks_change(database_url: str) -> None:
    async with a_world(database_url, FRIDAY, tick=timedelta(minutes=15)) as world:
        desk = world.machine("desk", lambda _: Deed(5 * HOUR))
        world.at(FRIDAY, desk.start)
        world.at(FRIDAY + HOUR, lambda: world.ask(SetSleepSchedule("desk", NIGHT, "ana")))
        # Friday 18:00 UTC: five hours of work, so that the night's deadline comes in the middle of it.
        world.at(FRIDAY + 6 * HOUR, lambda: world.ask(a_job()))
        # Saturday 23:00 UTC: an operator wakes it in the middle of the night of the change.
        wake = RequestWorkerState("desk", RequestedState.AWAKE, "bob")
        world.at(FRIDAY + 35 * HOUR, lambda: world.ask(wake))

        await world.run(FRIDAY + 72 * HOUR)

        # 22:00 is 21:00 UTC and 06:00 is 05:00 UTC in winter; from Sunday on they are 20:00 and 04:00.
        assert await story(world, "worker.asleep", "worker.awake", "worker.deadline_passed") == [
            ("Fri 21:00", "asleep"),
            ("Fri 22:00", "deadline_passed"),
            ("Sat 05:00", "awake"),
            ("Sat 21:00", "asleep"),
            ("Sat 23:00", "awake"),
            ("Sun 20:00", "asleep"),
            ("Mon 04:00", "awake"),
        ]
        # Three hours of the task were lost to the deadline; it ran again on Saturday from 05:00 to 10:00.
        (task,) = await world.rows("SELECT state, attempt, losses, failures FROM tasks")
        assert tuple(task) == ("completed", 2, 0, 0)
        rows = await world.rows("SELECT ended_at FROM attempts WHERE accepted")
        assert rows[0]["ended_at"] == FRIDAY + 22 * HOUR


async def test_a_machine_is_stopped_when_it_has_been_idle_for_long_and_comes_back_awake(database_url: str) -> None:
    async with a_world(database_url, FRIDAY, tick=timedelta(minutes=5)) as world:
        desk = world.machine("desk", lambda _: Deed(2 * HOUR))
        world.at(FRIDAY, desk.start)
        policy = IdlePolicy(IdleAction.STOP, 3600)
        world.at(FRIDAY + timedelta(minutes=10), lambda: world.ask(SetIdlePolicy("desk", policy, "ana")))
        world.at(FRIDAY + timedelta(minutes=50), lambda: world.ask(a_job()))
        world.at(FRIDAY + 6 * HOUR, desk.start)
        world.at(FRIDAY + 6 * HOUR, lambda: world.ask(a_job()))

        await world.run(FRIDAY + 7 * HOUR)

        # Busy from 12:50 to 14:50: its last heartbeat with the task was at 14:45, an hour before it was stopped.
        assert await story(world, "worker.online", "worker.offline") == [
            ("Fri 12:00", "online"),
            ("Fri 15:45", "offline"),
            ("Fri 18:00", "online"),
        ]
        rows = await world.rows("SELECT duty, requested_state FROM workers")
        assert tuple(rows[0]) == ("awake", None)
        assert [row["state"] for row in await world.rows("SELECT state FROM tasks ORDER BY id")] == [
            "completed",
            "running",
        ]
