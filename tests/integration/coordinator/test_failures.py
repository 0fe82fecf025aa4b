"""Failures: whose they are, what they cost, and when a job has had enough."""

from schemas.task import Cause, Outcome, Verdict
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def _end_the_pause(farm: Farm) -> None:
    """As if the time to wait for the next attempt had passed."""
    await farm.until("SELECT count(*) > 0 FROM tasks WHERE state = 'scheduled'")
    await farm.rows("UPDATE tasks SET not_before = farm_now() WHERE state = 'scheduled'")


async def test_a_failure_of_the_task_burns_a_retry_and_says_until_when_it_waits_and_why(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({"retries": 1})
        first = await worker.assigned()
        await worker.finish(first, Outcome.FAILED, error="exit code 3", exit_code=3)
        assert await worker.verdict(first) is Verdict.ACCEPTED

        row = (await farm.rows("SELECT * FROM tasks WHERE job_id = $1", job.job))[0]
        assert (row["state"], row["failures"], row["shortages"], row["losses"]) == ("scheduled", 1, 0, 0)
        assert row["reason"] == "retry 1 of 1: exit code 3"
        assert row["not_before"] is not None

        await _end_the_pause(farm)
        second = await worker.assigned()
        await worker.finish(second, Outcome.FAILED)
        await worker.verdict(second)
        row = (await farm.rows("SELECT * FROM tasks"))[0]
        assert (row["state"], row["reason"]) == ("failed", "failed 2 times")


async def test_a_shortage_burns_no_retry_and_has_a_budget_of_its_own(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"retries": 0}, shortages=1)
        first = await worker.assigned()
        await worker.finish(first, Outcome.FAILED, exit_code=-9)
        await worker.verdict(first)
        row = (await farm.rows("SELECT * FROM tasks"))[0]
        assert (row["state"], row["failures"], row["shortages"]) == ("scheduled", 0, 1)

        await _end_the_pause(farm)
        second = await worker.assigned()
        await worker.finish(second, Outcome.FAILED, cause=Cause.DISK)
        await worker.verdict(second)

        row = (await farm.rows("SELECT * FROM tasks"))[0]
        assert (row["state"], row["reason"]) == ("failed", "ran short of resources 2 times")
        detail = await farm.rows("SELECT detail FROM history WHERE event = 'attempt.failed' ORDER BY id")
        assert ['"class": "resource"' in row[0] for row in detail] == [True, True]
        assert (await farm.rows("SELECT cause FROM attempts ORDER BY attempt"))[1][0] == "disk"


async def test_what_is_hopeless_is_tried_once(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"retries": 9})
        attempt = await worker.assigned()
        await worker.finish(attempt, Outcome.FAILED, cause=Cause.HOPELESS)
        await worker.verdict(attempt)

        row = (await farm.rows("SELECT * FROM tasks"))[0]
        assert (row["state"], row["reason"]) == ("failed", "poison: its worker says that no retry can help")


async def test_a_task_that_kills_its_workers_ends_as_poison_and_other_losses_cost_it_nothing(farm: Farm) -> None:
    await farm.submit({"retries": 0}, max_losses=2)
    for number in (1, 2, 3):
        async with WireWorker(farm.amqp_url, "node-1") as worker:
            await worker.online()
            attempt = await worker.assigned()
            assert attempt.attempt == number
            if number > 1:  # the first is lost before it has started
                await worker.start(attempt)
                await farm.until("SELECT state = 'running' FROM tasks")
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()

        await farm.until("SELECT state = 'failed' FROM tasks")
        row = (await farm.rows("SELECT * FROM tasks"))[0]
        assert (row["failures"], row["losses"]) == (0, 2)
        assert row["reason"] == "poison: 2 workers were lost while they ran it"


async def test_a_job_that_fails_fast_cancels_the_rest_with_its_reason(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({"retries": 0, "array": {"count": 9}}, on_failure="fail_fast")
        running, failing = await worker.assigned(), await worker.assigned()
        await worker.start(running)

        await worker.finish(failing, Outcome.FAILED)

        revoked = await worker.hear(lambda one: one.type == "revoke")
        assert [one.task for one in revoked.attempts] == [running.task]
        await worker.finish(running, Outcome.CANCELED)
        row = await farm.until("SELECT j FROM jobs j WHERE id = $1 AND state = 'failed'", job.job)
        assert row["cancel_reason"] == "a task has failed, and the job fails fast"
        assert (row["n_failed"], row["n_canceled"]) == (1, 8)
        events = [
            one[0]
            for one in await farm.rows(
                "SELECT event FROM history WHERE job_id = $1 AND task_id IS NULL ORDER BY id", job.job
            )
        ]
        assert events[1:] == ["job.gave_up", "job.canceling", "job.failed"]


async def test_a_job_that_fails_at_a_share_goes_on_until_it_is_reached(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({"retries": 0, "array": {"count": 5}}, on_failure={"share": 0.4})
        for expected in ("active", "failed"):
            attempt = await worker.assigned()
            await worker.finish(attempt, Outcome.FAILED)
            await worker.verdict(attempt)
            await farm.until("SELECT state = $2 FROM jobs WHERE id = $1", job.job, expected)

        row = (await farm.rows("SELECT * FROM jobs"))[0]
        assert (row["n_failed"], row["n_canceled"]) == (2, 3)
        assert row["cancel_reason"] == "2 of 5 tasks have failed: the job fails at 0.4 of them"


async def test_a_job_goes_on_after_failures_by_default(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({"retries": 0, "array": {"count": 2}})
        failing, good = await worker.assigned(), await worker.assigned()
        await worker.finish(failing, Outcome.FAILED)
        await worker.finish(good)

        await farm.until("SELECT state = 'failed' FROM jobs WHERE id = $1", job.job)
        assert (await farm.rows("SELECT n_completed, cancel_reason FROM jobs"))[0][:] == (1, None)
