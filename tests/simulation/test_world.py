"""The world itself: time moves by hand, and the rules are the real ones."""

from datetime import UTC, datetime, timedelta

from coordinator.operations.requests import SubmitJob
from schemas.job import JobSpec
from schemas.task import AssignedAttempt
from tests.simulation.machine import Deed
from tests.simulation.world import a_world

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


async def test_a_day_of_a_small_farm_passes_in_a_moment(database_url: str) -> None:
    def conduct(attempt: AssignedAttempt) -> Deed:
        return Deed(2 * HOUR, dies=attempt.attempt == 1 and attempt.name.startswith("frame[0"))

    async with a_world(database_url, MONDAY, tick=HOUR) as world:
        for number in range(3):
            machine = world.machine(f"node-{number}", conduct)
            world.at(MONDAY, machine.start)
        task = {"name": "frame", "kind": "render", "commands": [{"name": "echo"}], "array": {"count": 20}}
        spec = JobSpec.model_validate({"name": "shot", "tasks": [task]})
        world.at(MONDAY + HOUR, lambda: world.ask(SubmitJob(spec, "ana")))

        await world.run(MONDAY + 24 * HOUR)

        # By 3:00 two are done and one worker is dead; 18 are left for two, two hours each.
        (job,) = await world.rows("SELECT state, n_completed, finished_at FROM jobs")
        assert (job["state"], job["n_completed"]) == ("completed", 20)
        assert job["finished_at"] == MONDAY + 21 * HOUR
        assert sorted(row["connection"] for row in await world.rows("SELECT connection FROM workers")) == [
            "lost", "online", "online",
        ]  # fmt: skip
