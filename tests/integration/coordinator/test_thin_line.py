"""The main line: online, heartbeat, assignment, start, end, verdict."""

from schemas.task import Held, Outcome, Phase, Verdict
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def test_a_task_goes_from_submission_to_an_accepted_result(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({"name": "hello", "commands": [{"name": "echo", "parameters": {"message": "hi"}}]})

        attempt = await worker.assigned()
        await worker.start(attempt)
        await worker.beat(holds=[Held(task=attempt.task, attempt=1, phase=Phase.RUNNING)])
        await worker.finish(attempt, result={"answer": 42})

        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        rows = await farm.rows("SELECT state, accepted_attempt FROM tasks WHERE job_id = $1", job.job)
        assert [tuple(row) for row in rows] == [("completed", 1)]
        assert (await farm.rows("SELECT state FROM jobs"))[0][0] == "completed"
        events = [row[0] for row in await farm.rows("SELECT event FROM history WHERE task_id IS NOT NULL ORDER BY id")]
        assert events == ["task.assigned", "task.started", "task.completed"]


async def test_a_repeated_report_gets_the_same_verdict_and_changes_nothing(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.finish(attempt)
        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        before = await farm.rows("SELECT * FROM history")

        await worker.finish(attempt)

        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        assert await farm.rows("SELECT * FROM history") == before


async def test_a_failed_task_is_tried_again_after_a_pause(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"retries": 1})
        attempt = await worker.assigned()

        await worker.finish(attempt, Outcome.FAILED, exit_code=3, error="no licence")
        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        assert await farm.state(attempt.task) == "scheduled"

        again = await worker.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)
        await worker.finish(again, Outcome.FAILED)
        await worker.verdict(again)
        assert await farm.state(attempt.task) == "failed"


async def test_a_dependent_gets_the_directories_of_its_accepted_inputs(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"name": "frames", "array": {"count": 2}}, {"name": "join", "after": ["frames"]})
        first, second = await worker.assigned(), await worker.assigned()
        assert [first.name, second.name] == ["frames[0]", "frames[1]"]
        await worker.finish(first)
        await worker.finish(second)

        join = await worker.assigned()

        assert join.name == "join"
        assert [(one.name, one.first, one.attempts) for one in join.inputs] == [("frames", first.task, [1, 1])]
