"""A job ends when nothing in it can move any more, and not while something waits to be promoted."""

from schemas.task import TaskPromoted, Verdict
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def test_a_job_is_active_while_a_task_waits_for_a_promotion(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit(
            {"name": "render", "promote": "shots/1"},
            {"name": "check", "after": [{"task": "render", "after": "promoted"}]},
        )
        render = await worker.assigned()
        await worker.finish(render)
        assert await worker.verdict(render) is Verdict.ACCEPTED

        rows = await farm.rows("SELECT state, finished_at FROM jobs")
        assert tuple(rows[0]) == ("active", None)
        await worker.say(TaskPromoted(task=render.task, attempt=1, path="shots/1"))
        await worker.finish(await worker.assigned())
        await farm.until("SELECT state = 'completed' FROM jobs")
