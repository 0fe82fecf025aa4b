"""Workers that fail too many tasks of a kind in a job: blocked when they stand out, and only while others are left."""

import pytest

from coordinator.operations.requests import ConflictError, NotFoundError, UnblockWorkers
from schemas.task import Assign, AssignedAttempt, AttemptRef, Outcome
from schemas.worker import Capacity, WorkerOffline
from tests.support.farm import Farm
from tests.support.wire import WireWorker

pytestmark = pytest.mark.usefixtures("long_pauses")

BLOCKED = "SELECT array_agg(worker_id::text) FROM blocklist WHERE blocked_at IS NOT NULL"


def single(farm: Farm, name: str) -> WireWorker:
    """A worker with one slot."""
    return WireWorker(farm.amqp_url, name, capacity=Capacity(slots=1))


async def _fail(worker: WireWorker, times: int = 1) -> list[AssignedAttempt]:
    """Fail the next tasks that it is given, one after the other."""
    failed = []
    for _ in range(times):
        attempt = await worker.assigned()
        await worker.finish(attempt, Outcome.FAILED, error="no plugin")
        await worker.verdict(attempt)
        failed.append(attempt)
    return failed


async def _blocked(farm: Farm) -> list[str]:
    return (await farm.rows(BLOCKED))[0][0] or []


async def test_the_third_failed_task_blocks_a_worker_and_the_rest_goes_to_the_other(farm: Farm) -> None:
    async with single(farm, "bad") as bad, single(farm, "good") as good:
        await bad.online()
        await good.online()
        job = await farm.submit({"array": {"count": 6}})
        busy = await good.assigned()
        await _fail(bad, 2)
        assert await _blocked(farm) == []

        await _fail(bad)

        assert await _blocked(farm) == ["bad"]
        story = await farm.rows(
            "SELECT event FROM history WHERE job_id = $1 AND worker_id = 'bad' AND task_id IS NULL", job.job
        )
        assert [row[0] for row in story] == ["worker.blocked"]
        await farm.rows("UPDATE tasks SET not_before = farm_now() WHERE state = 'scheduled'")
        await good.finish(busy)
        for _ in range(5):
            await good.finish(await good.assigned())
        await farm.until("SELECT state = 'completed' FROM jobs")
        assert not [one for one in bad.commands if isinstance(one, Assign)]

        await farm.submit({})
        assert (await bad.assigned()).job == job.job + 1


async def test_the_only_worker_is_never_blocked_and_the_retries_decide(farm: Farm) -> None:
    async with single(farm, "only") as only:
        await only.online()
        await farm.submit({"array": {"count": 5}, "retries": 0})

        await _fail(only, 5)

        assert await _blocked(farm) == []
        assert (await farm.rows("SELECT n_failed, state FROM jobs"))[0][:] == (5, "failed")


async def test_with_two_workers_the_first_failure_is_for_the_other_one_to_try(farm: Farm) -> None:
    async with single(farm, "a") as first, single(farm, "b") as second:
        await first.online()
        await farm.submit({"retries": 1})
        (failed,) = await _fail(first)
        await second.online()
        assert await farm.state(failed.task) == "scheduled"

        await farm.rows("UPDATE tasks SET not_before = farm_now() WHERE state = 'scheduled'")

        again = await second.assigned()
        assert (again.task, again.attempt) == (failed.task, 2)
        await second.finish(again)
        await farm.until("SELECT state = 'completed' FROM jobs")


async def test_what_a_second_worker_fails_too_is_not_held_against_the_first(farm: Farm) -> None:
    async with single(farm, "a") as first, single(farm, "b") as second:
        await first.online()
        await second.online()
        await farm.submit({"array": {"count": 4}})
        busy = await second.assigned()
        await _fail(first, 3)
        assert await _blocked(farm) == ["a"]

        await farm.rows("UPDATE tasks SET not_before = farm_now() WHERE state = 'scheduled'")
        await second.finish(busy)
        await _fail(second)

        assert await _blocked(farm) == []
        assert (await farm.rows("SELECT blocklisted FROM jobs"))[0][0] == 0


async def test_when_the_others_have_left_the_blocked_worker_goes_on(farm: Farm) -> None:
    async with single(farm, "a") as first, single(farm, "b") as second:
        await first.online()
        await second.online()
        await farm.submit({"array": {"count": 6}})
        held = await second.assigned()
        await _fail(first, 3)
        assert await _blocked(farm) == ["a"]

        await second.say(WorkerOffline(handed_back=[AttemptRef(task=held.task, attempt=held.attempt)]))

        assert (await first.assigned()).job == held.job
        assert await _blocked(farm) == []
        reasons = await farm.rows("SELECT detail ->> 'reason' FROM history WHERE event = 'worker.unblocked'")
        assert [row[0] for row in reasons] == ["no other worker is left that could do it"]


async def test_a_worker_of_another_kind_is_no_reason_to_block_the_last_one(farm: Farm) -> None:
    async with (
        single(farm, "a") as first,
        WireWorker(farm.amqp_url, "b", kinds=["render"]) as other,
    ):
        await first.online()
        await other.online()
        await farm.submit({"array": {"count": 4}, "retries": 0})

        await _fail(first, 4)

        assert await _blocked(farm) == []


async def test_a_blocked_worker_still_gets_what_waits_behind_the_job_it_is_blocked_in(farm: Farm) -> None:
    async with single(farm, "a") as first, single(farm, "b") as second:
        await first.online()
        await second.online()
        await farm.submit({"array": {"count": 50}}, priority=90)
        await second.assigned()
        behind = await farm.submit({}, priority=10)

        await _fail(first, 3)

        assert (await first.assigned()).job == behind.job


async def test_people_unblock_workers_and_what_they_failed_is_forgiven(farm: Farm) -> None:
    async with single(farm, "a") as first, single(farm, "b") as second:
        await first.online()
        await second.online()
        job = await farm.submit({"array": {"count": 9}})
        await second.assigned()
        await _fail(first, 3)
        with pytest.raises(NotFoundError, match="no job 77"):
            await farm.desk.ask(UnblockWorkers(77, "ana"))
        with pytest.raises(ConflictError, match="worker b is not blocked in job 1"):
            await farm.desk.ask(UnblockWorkers(job.job, "ana", ("b",)))

        done = await farm.desk.ask(UnblockWorkers(job.job, "ana", ("a",), "echo", "plugin installed"))

        assert done.count == 1
        await _fail(first, 2)
        assert await _blocked(farm) == []
        row = (await farm.rows("SELECT actor, detail FROM history WHERE event = 'worker.unblocked'"))[0]
        assert row["actor"] == "ana"
        assert "plugin installed" in row["detail"]


async def test_a_job_may_do_without_a_blocklist(farm: Farm) -> None:
    async with single(farm, "a") as first, single(farm, "b") as second:
        await first.online()
        await second.online()
        await farm.submit({"array": {"count": 9}}, block_after=0)
        await second.assigned()

        await _fail(first, 5)

        assert await _blocked(farm) == []
