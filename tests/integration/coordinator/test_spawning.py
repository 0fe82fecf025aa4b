"""Dynamic tasks: added once for each run, by the live or accepted attempt, within bounds."""

from typing import Any

import pytest

from schemas.job import TaskSpec
from schemas.spawn import TaskSpawn, mark_of
from schemas.task import AssignedAttempt, Outcome, Verdict
from schemas.worker import Capacity
from tests.support.farm import Farm, a_task
from tests.support.wire import WireWorker


def a_spawn(attempt: AssignedAttempt, **fields: Any) -> TaskSpawn:
    """A task that *attempt* adds."""
    return TaskSpawn(task=attempt.task, attempt=attempt.attempt, spec=TaskSpec.model_validate(a_task(**fields)))


async def test_what_a_failed_attempt_has_added_is_not_added_again_and_a_join_waits(farm: Farm) -> None:
    await farm.submit({"name": "plan", "retries": 3})
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=1)) as worker:
        await worker.online()
        first = await worker.assigned()
        await worker.start(first)
        tiles = a_spawn(first, name="tiles", array={"count": 2}, priority=90)
        join = a_spawn(first, name="join", after=["tiles"])
        await worker.say(tiles, join)
        await worker.say(tiles)
        await worker.finish(first, Outcome.FAILED, error="later")
        for _ in range(2):
            tile = await worker.assigned()
            assert tile.name.startswith("tiles[")
            await worker.finish(tile)
        again, joined = sorted([await next_of(worker), await next_of(worker)], key=lambda one: one.task)
        assert (again.name, again.attempt, joined.name) == ("plan", 2, "join")
        assert [len(one.attempts) for one in joined.inputs] == [2]
        await farm.until("SELECT state = 'completed' AND total = 4 AND spawned = 3 FROM jobs")
    names = await farm.rows("SELECT name, parent, parent_run, depth FROM specs ORDER BY id")
    assert [tuple(row) for row in names] == [("plan", None, None, 0), ("tiles", 1, 1, 1), ("join", 1, 1, 1)]


async def next_of(worker: WireWorker) -> AssignedAttempt:
    """The next attempt; if it is the plan's, it adds once more what is there already. Then it is finished."""
    attempt = await worker.assigned()
    if attempt.name == "plan":
        await worker.say(a_spawn(attempt, name="tiles", array={"count": 2}))
    await worker.finish(attempt)
    return attempt


async def test_what_goes_beyond_a_bound_fails_its_task_with_the_reason(farm: Farm) -> None:
    await farm.submit({"name": "plan"}, max_spawned=1)
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=1)) as worker:
        await worker.online()
        attempt = await worker.assigned()
        await worker.start(attempt)
        await worker.say(a_spawn(attempt, name="a", array={"count": 2}))
        revoke = await worker.hear(lambda one: one.type == "revoke")
        assert "more than its max_spawned of 1" in revoke.attempts[0].reason
        await worker.finish(attempt, Outcome.CANCELED)
        await worker.verdict(attempt)
        await farm.until("SELECT state = 'failed' AND total = 1 FROM jobs")


async def test_a_stranger_adds_nothing(farm: Farm) -> None:
    await farm.submit({"name": "plan"})
    async with WireWorker(farm.amqp_url, "node-1") as worker, WireWorker(farm.amqp_url, "node-2") as stranger:
        await worker.online()
        attempt = await worker.assigned()
        await stranger.online(kinds=["other"])
        await stranger.say(a_spawn(attempt, name="a"))
        await worker.start(attempt)
        await worker.finish(attempt)
        await farm.until("SELECT state = 'completed' AND total = 1 FROM jobs")


async def test_a_report_that_overtakes_what_its_attempt_has_added_waits_for_it(farm: Farm) -> None:
    await farm.submit({"name": "plan"})
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        attempt = await worker.assigned()
        added = [mark_of("a"), mark_of("b")]
        await worker.start(attempt)
        # As another coordinator may take them: the report first, then what was said before it.
        await worker.finish(attempt, added=added)
        await worker.say(a_spawn(attempt, name="a"))
        await worker.finish(attempt, added=added)
        await farm.until("SELECT spawned = 1 AND state = 'active' FROM jobs")
        assert await farm.state(attempt.task) == "running"
        await worker.say(a_spawn(attempt, name="b"))
        await worker.finish(attempt, added=added)
        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        for _ in added:
            await worker.finish(await worker.assigned())
        await farm.until("SELECT state = 'completed' AND total = 3 FROM jobs")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"kind": "nuke"}, "is of kind 'nuke', which no worker has ever offered"),
        ({"licenses": {"houdini": 1}}, "needs license 'houdini', which this farm does not know"),
    ],
)
async def test_what_is_added_is_checked_as_at_submission(farm: Farm, wrong: dict[str, Any], why: str) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"name": "careful"})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await worker.say(a_spawn(attempt, name="a", **wrong))
        revoke = await worker.hear(lambda one: one.type == "revoke")
        assert why in revoke.attempts[0].reason
        await worker.finish(attempt, Outcome.CANCELED)
        await worker.verdict(attempt)
        await farm.submit({"name": "careless"}, accept_unknown_kinds=True)
        attempt = await worker.assigned()
        await worker.say(a_spawn(attempt, name="a", **wrong))
        await worker.finish(attempt)
        await farm.until("SELECT spawned = 1 FROM jobs WHERE id = $1", attempt.job)
