"""What changes about a job while it runs: priority and tags, for all of its waiting tasks at once."""

import pytest

from coordinator.operations.changes import ChangePriority, ChangeTags, KeepJob
from coordinator.operations.requests import ConflictError, NotFoundError
from schemas.worker import Capacity
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def test_a_job_overtakes_another_and_what_runs_goes_on(farm: Farm) -> None:
    first = await farm.submit({"array": {"count": 2}})
    second = await farm.submit({"array": {"count": 2}}, name="late")
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=1)) as worker:
        await worker.online()
        running = await worker.assigned()
        assert running.job == first.job

        await farm.desk.ask(ChangePriority(second.job, 90, "ana", "client waits"))
        await worker.finish(running)
        following = await worker.assigned()
        assert following.job == second.job
        await worker.finish(following)
        assert (await worker.assigned()).job == second.job

    said = await farm.rows(
        "SELECT actor, detail->>'reason', detail->>'from' FROM history WHERE event = 'job.priority_changed'"
    )
    assert [tuple(row) for row in said] == [("ana", "client waits", "50")]


async def test_tags_change_for_all_waiting_tasks_and_groups_may_come_to_share_a_class(farm: Farm) -> None:
    job = await farm.submit(
        {"name": "a", "array": {"count": 3}, "tags": ["slow"]}, {"name": "b"}, {"name": "c", "after": ["a"]}
    )
    async with (
        WireWorker(farm.amqp_url, "node-1", tags=["slow"], capacity=Capacity(slots=1)) as slow,
        WireWorker(farm.amqp_url, "node-2", tags=["fast"], capacity=Capacity(slots=1)) as fast,
    ):
        await slow.online()
        running = await slow.assigned()
        assert running.name == "a[0]"
        await farm.desk.ask(ChangeTags(job.job, "ana", add=("fast",), remove=("slow",), reason="new machines"))

        await fast.online()
        for _ in range(3):
            attempt = await fast.assigned()
            await fast.finish(attempt)
        await slow.finish(running)
        last = await fast.assigned()
        assert last.name == "c"
        await fast.finish(last)
        await farm.until("SELECT state = 'completed' FROM jobs")
    classes = await farm.rows("SELECT DISTINCT class_id FROM groups")
    assert len(classes) == 1
    with pytest.raises(ConflictError, match="completed already; nothing was changed"):
        await farm.desk.ask(ChangeTags(job.job, "ana", add=("x",)))
    with pytest.raises(NotFoundError, match="no job 99"):
        await farm.desk.ask(ChangePriority(99, 1, "ana"))


async def test_a_kept_job_says_so_in_its_story(farm: Farm) -> None:
    job = await farm.submit({})
    await farm.desk.ask(KeepJob(job.job, "ana", reason="the master"))
    await farm.desk.ask(KeepJob(job.job, "ana", keep=False))
    said = "SELECT event FROM history WHERE job_id = $1 AND event LIKE 'job.%e%' ORDER BY id"
    events = await farm.rows(said, job.job)
    assert [row["event"] for row in events] == ["job.submitted", "job.kept", "job.let_go"]
