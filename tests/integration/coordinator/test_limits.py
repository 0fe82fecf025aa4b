"""Limits, licenses, fair share and pauses on real services: what is set holds from the same transaction on."""

from contextlib import AsyncExitStack
from typing import Any

import asyncpg
import pytest

from coordinator.domain.budget import Scope
from coordinator.operations.limiting import LimitJob, SetFairShare, SetLimit, SetWeight
from coordinator.operations.pausing import PauseJob, PauseQueue, PauseTasks, ResumeJob, ResumeQueue, ResumeTasks
from coordinator.operations.requests import (
    CancelTasks,
    ConflictError,
    NotFoundError,
    RequeueTasks,
    UnplaceableError,
)
from coordinator.storage.pool import prepare
from coordinator.storage.views import Views
from schemas.task import Outcome
from schemas.worker import Capacity
from tests.support.farm import Farm
from tests.support.wire import WireWorker

HELD = "SELECT count(*) FROM attempts WHERE state <> 'ended'"


def a_worker(farm: Farm, name: str = "node-1", slots: int = 8, **online: Any) -> WireWorker:
    return WireWorker(farm.amqp_url, name, capacity=Capacity(slots=slots), **online)


async def held(farm: Farm) -> int:
    """How many attempts have not ended, after everything asked so far has been applied and swept."""
    return int((await farm.rows(HELD))[0][0])


async def test_a_job_is_held_to_its_limit_and_another_worker_gets_what_ends(farm: Farm) -> None:
    async with a_worker(farm) as worker, a_worker(farm, "node-2") as other:
        await worker.online()
        job = await farm.submit({"array": {"count": 9}}, limit=3)
        assert await held(farm) == 3
        await other.online()
        first = await worker.assigned()

        await worker.finish(first)
        await worker.verdict(first)

        assert await held(farm) == 3
        assert (await other.assigned()).task == first.task + 3
        await farm.desk.ask(LimitJob(job.job, 5, "ana", "more room"))
        assert await held(farm) == 5
        await farm.desk.ask(LimitJob(job.job, 1, "ana"))
        assert await held(farm) == 5
        await farm.desk.ask(LimitJob(job.job, None, "ana"))
        assert await held(farm) == 8
        story = await farm.rows("SELECT actor, detail ->> 'limit' FROM history WHERE event = 'job.limited' ORDER BY id")
        assert [tuple(row) for row in story] == [("ana", "5"), ("ana", "1"), ("ana", None)]


@pytest.mark.parametrize(
    ("scope", "name"), [(Scope.QUEUE, "default"), (Scope.KIND, "echo"), (Scope.SUBMITTER, "tester")]
)
async def test_queues_kinds_and_submitters_are_limited_over_all_jobs(farm: Farm, scope: Scope, name: str) -> None:
    await farm.desk.ask(SetLimit(scope, name, 3, "ana", "power"))
    async with a_worker(farm) as worker:
        await worker.online()
        for _ in range(3):
            await farm.submit({"array": {"count": 2}})
        assert await held(farm) == 3

        await farm.desk.ask(SetLimit(scope, name, None, "ana"))

        assert await held(farm) == 6


async def test_licenses_are_counted_farm_wide_and_a_stopping_attempt_keeps_its_own(farm: Farm) -> None:
    await farm.desk.ask(SetLimit(Scope.LICENSE, "houdini", 3, "ana"))
    async with a_worker(farm, slots=1) as worker, a_worker(farm, "node-2") as other:
        await worker.online()
        await farm.submit({"array": {"count": 3}, "licenses": {"houdini": 2}})
        first = await worker.assigned()
        await worker.start(first)
        await farm.until("SELECT count(*) = 1 FROM tasks WHERE state = 'running'")
        await other.online()

        await farm.desk.ask(CancelTasks((first.task,), "ana"))
        assert await held(farm) == 1
        await worker.finish(first, Outcome.CANCELED)

        assert (await other.assigned()).task == first.task + 1
        await farm.desk.ask(SetLimit(Scope.LICENSE, "houdini", 4, "ana", "one more bought"))
        assert await held(farm) == 2


async def test_a_license_that_the_farm_does_not_know_is_refused_with_the_way_out(farm: Farm) -> None:
    with pytest.raises(UnplaceableError, match="needs license 'houdni'.*farmhand limits set license:houdni=N"):
        await farm.submit({"licenses": {"houdni": 1}})

    await farm.submit({"licenses": {"houdni": 1}}, accept_unknown_kinds=True)
    async with a_worker(farm) as worker:
        await worker.online()
        assert await held(farm) == 0


async def test_submitters_share_a_queue_by_their_weights_and_the_setting_turns_it_off(farm: Farm) -> None:
    await farm.desk.ask(SetWeight("ben", 2, "ana"))
    for who in ("ana", "ben"):
        await farm.submit({"array": {"count": 20}}, submitter=who)
    by_submitter = (
        "SELECT j.submitter, count(*)::integer FROM attempts a JOIN tasks t ON t.id = a.task_id "
        "JOIN jobs j ON j.id = t.job_id GROUP BY 1 ORDER BY 1"
    )
    async with AsyncExitStack() as stack:
        worker = await stack.enter_async_context(a_worker(farm, slots=6))
        await worker.online()
        assert [tuple(row) for row in await farm.rows(by_submitter)] == [("ana", 2), ("ben", 4)]

        await farm.desk.ask(SetFairShare(False, "ana", "deadline"))  # noqa: FBT003
        other = await stack.enter_async_context(a_worker(farm, "node-2", slots=4))
        await other.online()

        assert [tuple(row) for row in await farm.rows(by_submitter)] == [("ana", 6), ("ben", 4)]


async def test_submitters_take_turns_on_the_only_slot(farm: Farm) -> None:
    for who in ("ana", "ben", "cyd"):
        await farm.submit({"array": {"count": 5}}, submitter=who)
    async with a_worker(farm, slots=1) as worker:
        await worker.online()
        jobs = []
        for _ in range(7):
            attempt = await worker.assigned()
            jobs.append((attempt.task - 1) // 5)
            await worker.finish(attempt)
            await worker.verdict(attempt)
        assert jobs == [0, 1, 2, 0, 1, 2, 0]


async def test_a_paused_job_lets_what_runs_go_on_and_gives_nothing_more(farm: Farm) -> None:
    async with a_worker(farm, slots=1) as worker:
        await worker.online()
        job = await farm.submit({"array": {"count": 600}})
        first = await worker.assigned()

        await farm.desk.ask(PauseJob(job.job, "ana", "wrong camera"))
        await worker.finish(first)
        await worker.verdict(first)

        assert await held(farm) == 0
        with pytest.raises(ConflictError, match="paused already, by ana"):
            await farm.desk.ask(PauseJob(job.job, "ben"))
        await farm.desk.ask(ResumeJob(job.job, "ben"))
        assert (await worker.assigned()).task == first.task + 1
        rows = await farm.rows("SELECT event, actor FROM history WHERE event ~ 'job.(paused|resumed)' ORDER BY id")
        assert [tuple(row) for row in rows] == [("job.paused", "ana"), ("job.resumed", "ben")]


async def test_a_paused_queue_holds_back_every_job_in_it_and_no_other(farm: Farm) -> None:
    await farm.desk.ask(PauseQueue("gpu", "ana", "driver update"))
    async with a_worker(farm, queues=["gpu", "default"]) as worker:
        await worker.online()
        await farm.submit({"array": {"count": 2}}, queue="gpu")
        await farm.submit({"array": {"count": 2}, "queue": "gpu"}, {"name": "b"})
        assert await held(farm) == 1

        await farm.desk.ask(ResumeQueue("gpu", "ana"))

        assert await held(farm) == 5
    with pytest.raises(ConflictError, match="queue gpu is not paused"):
        await farm.desk.ask(ResumeQueue("gpu", "ana"))


async def test_a_paused_task_goes_back_where_its_dependencies_lead(farm: Farm) -> None:
    await farm.submit({"name": "a"}, {"name": "b", "after": ["a"]}, {"name": "c"})
    a, b, c = [row["id"] for row in await farm.rows("SELECT t.id FROM tasks t ORDER BY id")]
    await farm.desk.ask(PauseTasks((a, b), "ana", "wait"))
    async with a_worker(farm) as worker:
        await worker.online()
        assert (await worker.assigned()).task == c
        with pytest.raises(ConflictError, match="what runs goes on"):
            await farm.desk.ask(PauseTasks((c,), "ana"))
        assert await held(farm) == 1

        await farm.desk.ask(ResumeTasks((a, b), "ana"))
        assert [await farm.state(task) for task in (a, b)] == ["assigned", "blocked"]
        await farm.desk.ask(PauseTasks((b,), "ana"))
        attempt = await worker.assigned()
        await worker.finish(attempt)
        await worker.verdict(attempt)
        assert await farm.state(b) == "paused"
        with pytest.raises(ConflictError, match=f"task {a} is completed already"):
            await farm.desk.ask(PauseTasks((a,), "ana"))
        await farm.desk.ask(RequeueTasks((a,), "ana"))
        await farm.desk.ask(ResumeTasks((b,), "ana"))
        assert await farm.state(b) == "blocked"
        assert (await farm.rows("SELECT n_paused, n_blocked FROM jobs"))[0]["n_paused"] == 0


async def test_what_was_never_set_cannot_be_taken_away(farm: Farm) -> None:
    with pytest.raises(NotFoundError, match="there is no limit kind:render"):
        await farm.desk.ask(SetLimit(Scope.KIND, "render", None, "ana"))
    with pytest.raises(NotFoundError, match="there is no weight of submitter ana"):
        await farm.desk.ask(SetWeight("ana", None, "ana"))
    with pytest.raises(NotFoundError, match="there is no job 99"):
        await farm.desk.ask(PauseJob(99, "ana"))


async def test_why_tells_the_limit_the_license_and_the_pause(farm: Farm) -> None:
    await farm.desk.ask(SetLimit(Scope.LICENSE, "houdini", 1, "ana"))
    async with a_worker(farm) as worker, asyncpg.create_pool(farm.database_url, init=prepare) as pool:
        views = Views(pool)
        await worker.online()
        await farm.submit({"array": {"count": 2}, "licenses": {"houdini": 1}})
        limited = await farm.submit({"array": {"count": 2}}, limit=1)
        first = (await farm.rows("SELECT first_task FROM jobs WHERE id = $1", limited.job))[0][0]

        async def told(task: int) -> list[str]:
            return [reason.sentence for reason in (await views.why_task(task)).reasons]

        assert await told(first - 1) == [f"Needs 1 of license houdini; 1 of 1 are in use, by task {first - 2}."]
        assert await told(first + 1) == [f"1 of 1 tasks allowed at once for job {limited.job} run."]
        await farm.desk.ask(PauseQueue("default", "ana", "new driver"))
        assert (await told(first + 1))[0] == "Queue default was paused by ana: new driver."
        await farm.desk.ask(PauseTasks((first + 1,), "ana", "wrong camera"))
        assert (await told(first + 1))[0] == f"Task {first + 1} was paused by ana: wrong camera."
