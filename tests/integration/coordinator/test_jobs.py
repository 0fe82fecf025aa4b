"""Jobs: taken once, grown in slices, canceled, requeued, ordered."""

import pytest
from pydantic import ValidationError

from coordinator.operations.requests import (
    CancelJob,
    CancelTasks,
    ConflictError,
    InvalidError,
    NotFoundError,
    RequeueFailed,
    RequeueTasks,
)
from schemas.task import Outcome, TaskFinished, TaskPromoted, Verdict
from schemas.worker import Capacity
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def test_a_submission_with_the_same_key_is_taken_once(farm: Farm) -> None:
    first = await farm.submit({}, key="nightly-1")
    second = await farm.submit({}, {"name": "other"}, key="nightly-1")

    assert (second.job, second.created, first.created) == (first.job, False, True)
    assert (await farm.rows("SELECT count(*) FROM tasks"))[0][0] == 1


async def test_a_large_job_is_made_in_slices_and_ends_whole(farm: Farm) -> None:
    job = await farm.submit(
        {"name": "many", "array": {"count": 12_345}}, {"name": "last", "after": ["one"]}, {"name": "one"}
    )

    await farm.until("SELECT expanded = total FROM jobs")

    rows = await farm.rows("SELECT n_ready, n_blocked, total FROM jobs WHERE id = $1", job.job)
    assert tuple(rows[0]) == (12_346, 1, 12_347)


async def test_a_large_cancel_goes_on_in_slices_until_all_is_canceled(farm: Farm) -> None:
    job = await farm.submit({"array": {"count": 11_000}})
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        attempt = await worker.assigned()
        await worker.start(attempt)

        await farm.desk.ask(CancelJob(job.job, "ana", "wrong camera"))

        revoke = await worker.hear(lambda one: one.type == "revoke")
        assert attempt.task in [one.task for one in revoke.attempts]
        await farm.until("SELECT state = 'canceled' FROM jobs")
        await worker.finish(attempt, Outcome.CANCELED)
        assert await worker.verdict(attempt) is Verdict.SUPERSEDED
    with pytest.raises(ConflictError, match="canceled already"):
        await farm.desk.ask(CancelJob(job.job, "ana"))


async def test_a_result_that_comes_after_the_cancel_is_not_accepted(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await farm.desk.ask(CancelTasks((attempt.task,), "ana"))

        await worker.finish(attempt)

        assert await worker.verdict(attempt) is Verdict.SUPERSEDED
        assert await farm.state(attempt.task) == "canceled"


async def test_a_stopping_attempt_keeps_its_slot_until_the_worker_says_that_it_ended(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=1)) as worker:
        await worker.online()
        await farm.submit({"array": {"count": 2}})
        first = await worker.assigned()
        await worker.start(first)
        await farm.until("SELECT count(*) = 1 FROM tasks WHERE state = 'running'")
        await farm.desk.ask(CancelTasks((first.task,), "ana"))
        assert await farm.state(first.task + 1) == "ready"

        await worker.finish(first, Outcome.CANCELED)

        assert (await worker.assigned()).task == first.task + 1


async def test_failed_tasks_of_a_job_can_be_requeued_and_attempt_numbers_go_on(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({"retries": 0})
        attempt = await worker.assigned()
        await worker.finish(attempt, Outcome.FAILED)
        await worker.verdict(attempt)
        assert (await farm.rows("SELECT state FROM jobs"))[0][0] == "failed"

        await farm.desk.ask(RequeueFailed(job.job, "ana"))

        again = await worker.assigned()
        assert again.attempt == 2
        await worker.finish(again)
        assert await worker.verdict(again) is Verdict.ACCEPTED
        assert (await farm.rows("SELECT run, state FROM tasks"))[0]["run"] == 2


async def test_requeueing_a_completed_task_blocks_what_waits_and_leaves_what_is_finished(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit(
            {"name": "a"},
            {"name": "b", "after": ["a"]},
            {"name": "c", "after": ["a", "b"], "kind": "slow"},
            accept_unknown_kinds=True,
        )
        a = await worker.assigned()
        await worker.finish(a)
        b = await worker.assigned()
        await worker.finish(b)
        await worker.verdict(b)
        assert await farm.state(b.task + 1) == "ready"

        await farm.desk.ask(RequeueTasks((a.task,), "ana", "wrong light"))

        assert await farm.state(b.task) == "completed"
        assert await farm.state(b.task + 1) == "blocked"
        again = await worker.assigned()
        assert (again.task, again.attempt) == (a.task, 2)
        await worker.finish(again)
        await worker.verdict(again)
        assert await farm.state(b.task + 1) == "ready"


async def test_after_promoted_waits_for_the_promotion(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit(
            {"name": "render", "promote": "shots/1"},
            {"name": "check", "after": [{"task": "render", "after": "promoted"}]},
        )
        render = await worker.assigned()
        assert render.promote == "shots/1"
        await worker.finish(render)
        assert await worker.verdict(render) is Verdict.ACCEPTED
        assert await farm.state(render.task + 1) == "blocked"

        await worker.say(TaskPromoted(task=render.task, attempt=1, path="shots/1"))

        assert (await worker.assigned()).name == "check"


async def test_a_job_whose_rest_waits_for_a_failed_task_has_failed(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"name": "a", "retries": 0}, {"name": "b", "after": ["a"]})
        attempt = await worker.assigned()

        await worker.finish(attempt, Outcome.FAILED)
        await worker.verdict(attempt)

        rows = await farm.rows("SELECT state, n_blocked FROM jobs")
        assert tuple(rows[0]) == ("failed", 1)


async def test_elements_get_their_values(farm: Farm) -> None:
    command = {"name": "echo", "parameters": {"argv": ["--frame", "{{value.frame}}", "n{{index}}-{{value.lens}}"]}}
    values = [{"frame": 7, "lens": "wide"}, {"frame": 9, "lens": "tele"}]
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"name": "f-{{value.frame}}", "commands": [command], "array": {"values": values}})

        first, second = await worker.assigned(), await worker.assigned()

        assert [first.name, second.name] == ["f-7", "f-9"]
        assert first.commands[0].parameters == {"argv": ["--frame", 7, "n0-wide"]}
        assert second.commands[0].parameters == {"argv": ["--frame", 9, "n1-tele"]}


async def test_priorities_decide_and_unknown_things_are_refused(farm: Farm) -> None:
    await farm.submit({"name": "low"}, priority=10)
    await farm.submit({"name": "second", "priority": 1}, {"name": "first", "priority": 99}, priority=90)
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=3)) as worker:
        await worker.online()
        assert [(await worker.assigned()).name for _ in range(3)] == ["first", "second", "low"]
        with pytest.raises(InvalidError, match="kind 'rendr', which no worker has ever offered \\(known: echo\\)"):
            await farm.submit({"kind": "rendr"})
    with pytest.raises(ValidationError, match="cycle: a -> b -> a"):
        await farm.submit({"name": "a", "after": ["b"]}, {"name": "b", "after": ["a"]})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        await farm.submit({"priority": -1})
    with pytest.raises(NotFoundError):
        await farm.desk.ask(CancelJob(999, "ana"))
    with pytest.raises(ConflictError, match="only finished tasks"):
        await farm.desk.ask(RequeueTasks(((await farm.rows("SELECT min(id) FROM tasks"))[0][0],), "ana"))


async def test_a_hundred_reports_in_one_message_are_all_judged(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=100)) as worker:
        await worker.online()
        await farm.submit({"array": {"count": 100}})
        attempts = [await worker.assigned() for _ in range(100)]

        await worker.say(*(TaskFinished(task=a.task, attempt=a.attempt, outcome=Outcome.COMPLETED) for a in attempts))

        verdicts = [await worker.verdict(attempts[0])]
        assert verdicts == [Verdict.ACCEPTED]
        await farm.until("SELECT state = 'completed' FROM jobs")
