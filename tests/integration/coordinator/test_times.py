"""Not before, not after, not for too long, not too silent: on a real farm, with short times."""

from datetime import UTC, datetime, timedelta

import pytest

from coordinator.operations.requests import InvalidError
from schemas.task import Outcome, TaskLog, TaskProgress, Verdict
from schemas.topology import log_key
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def test_a_task_waits_for_its_time_even_when_its_dependencies_are_done_before(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"name": "first"}, {"name": "second", "after": ["first"], "not_before": "10m"})
        assert (await farm.rows("SELECT not_before IS NOT NULL FROM tasks WHERE state = 'blocked'"))[0][0]
        first = await worker.assigned()
        await worker.start(first)
        await worker.finish(first)
        await farm.until("SELECT state = 'scheduled' AND not_before > farm_now() FROM tasks WHERE id = 2")

        await farm.rows("UPDATE tasks SET not_before = farm_now() WHERE id = 2")

        assert (await worker.assigned()).name == "second"


async def test_what_can_never_be_done_in_time_is_refused(farm: Farm) -> None:
    for times in ({"not_before": "2h", "deadline": "1h"}, {"deadline": datetime.now(UTC) - timedelta(seconds=1)}):
        with pytest.raises(InvalidError, match="task 'task' can never be done: its deadline"):
            await farm.submit(times)


async def test_past_the_deadline_what_waits_or_runs_fails_and_what_is_done_stays(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", capacity={"slots": 2}) as worker:
        await worker.online()
        await farm.submit({"array": {"count": 4}}, {"name": "join", "after": ["task"]}, deadline="10m")
        done, running = await worker.assigned(), await worker.assigned()
        for attempt in (done, running):
            await worker.start(attempt)
        await worker.finish(done)
        assert await worker.verdict(done) is Verdict.ACCEPTED

        await farm.rows("UPDATE specs SET deadline = farm_now()")
        revoked = await worker.hear(lambda one: one.type == "revoke")
        await worker.finish(running)

        assert "its deadline" in revoked.attempts[0].reason
        assert await worker.verdict(running) is Verdict.SUPERSEDED
        await farm.until("SELECT state = 'failed' FROM jobs")
        rows = await farm.rows("SELECT state, reason LIKE 'its deadline % has passed' FROM tasks ORDER BY id")
        assert [tuple(row) for row in rows] == [("completed", None)] + [("failed", True)] * 4
        assert (await farm.rows("SELECT count(*) FROM history WHERE event = 'task.expired'"))[0][0] == 4


async def test_an_attempt_that_runs_too_long_is_stopped_as_short_of_time(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"max_run_s": 0.5, "retries": 0}, shortages=0)
        attempt = await worker.assigned()
        assert attempt.max_run_s == 0.5
        await worker.start(attempt)

        revoked = await worker.hear(lambda one: one.type == "revoke")
        await worker.finish(attempt, Outcome.CANCELED)
        await worker.verdict(attempt)

        assert revoked.attempts[0].reason == "it ran longer than the 0.5 s allowed (max_run_s)"
        row = (await farm.rows("SELECT state, ending, error FROM attempts"))[0]
        assert tuple(row) == ("ended", "revoked", "it ran longer than the 0.5 s allowed (max_run_s)")
        assert await farm.state(attempt.task) == "failed"
        (note,) = await farm.rows(
            "SELECT detail->>'class', detail->>'then' FROM history WHERE event = 'attempt.overdue'"
        )
        assert tuple(note) == ("resource", "ran short of resources 1 time")


async def test_an_attempt_is_stopped_only_when_neither_log_nor_progress_comes(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"no_progress_s": "10m"})
        attempt = await worker.assigned()
        await worker.start(attempt)
        looks = await farm.until("SELECT look_at FROM attempts WHERE look_at IS NOT NULL")
        aged = "UPDATE attempts SET heard_at = heard_at - interval '1h', look_at = look_at - interval '1h'"

        ref = {"task": attempt.task, "attempt": attempt.attempt}
        await worker.say(TaskProgress(**ref, done=1, total=2))
        later = await farm.until("SELECT look_at FROM attempts WHERE look_at > $1", looks)
        await worker.say(TaskLog(**ref, chunk=0, day=attempt.day, text="a line\n"), key=log_key("node-1"))
        await farm.until("SELECT heard_at FROM log_sizes")
        await farm.rows(aged + ", started_at = started_at - interval '1h'")
        await farm.until("SELECT look_at FROM attempts WHERE look_at > $1 AND state = 'running'", later)
        await farm.rows("UPDATE log_sizes SET heard_at = heard_at - interval '1h'")
        await farm.rows(aged)
        revoked = await worker.hear(lambda one: one.type == "revoke")

        assert revoked.attempts[0].reason == "no log and no progress for 600 s (no_progress_s)"
        (row,) = await farm.rows("SELECT detail->>'class' FROM history WHERE event = 'attempt.overdue'")
        assert row[0] == "resource"
