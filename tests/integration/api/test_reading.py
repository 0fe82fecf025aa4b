"""What is read of the farm, through the client, the API and the database."""

import json

import pytest

from coordinator.client import AsyncFarmhandClient, ExitCode, FarmhandError
from tests.integration.api.rows import Rows

FRAMES = ["completed", "running", "ready", "ready", "failed", "blocked"]


async def test_jobs_come_newest_first_and_page_by_page(rows: Rows, client: AsyncFarmhandClient) -> None:
    made = [await rows.job(f"job {number}") for number in range(5)]

    first = await client.jobs(limit=2)
    second = await client.jobs(limit=2, before=int(first.next or 0))
    third = await client.jobs(limit=2, before=int(second.next or 0))

    assert [job.id for page in (first, second, third) for job in page.items] == made[::-1]
    assert third.next is None


async def test_jobs_are_filtered_by_state_and_submitter(rows: Rows, client: AsyncFarmhandClient) -> None:
    active = await rows.job(submitter="ana")
    canceling = await rows.job(state="canceling", submitter="ben")

    assert [job.id for job in (await client.jobs(state="active")).items] == [active]
    assert [job.id for job in (await client.jobs(state="canceling")).items] == [canceling]
    assert [job.id for job in (await client.jobs(submitter="ana")).items] == [active]
    assert (await client.jobs(state="failed")).items == []


async def test_a_job_tells_its_counts_its_parts_and_why_its_tasks_wait(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job("shot 10")
    first, *_ = await rows.tasks(job, FRAMES, queue="gpu")
    await rows.tasks(job, ["blocked"], name="join", after=[{"name": "frame", "first": first, "count": 6}])
    await rows.worker()

    found = await client.job(job)

    assert found.counts.model_dump() == {
        "blocked": 2, "scheduled": 0, "paused": 0, "ready": 2, "assigned": 0, "running": 1, "completed": 1, "failed": 1,
        "canceled": 0,
    }  # fmt: skip
    assert [(part.name, part.count, part.queue, part.after) for part in found.parts] == [
        ("frame", 6, "gpu", []),
        ("join", 1, "default", ["frame"]),
    ]
    assert [(why.tasks, why.code, why.sentence) for why in found.waiting] == [
        (2, "no_queue", "No worker serves queue gpu.")
    ]


async def test_tasks_of_an_array_have_names_of_their_own(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    await rows.tasks(job, ["ready", "ready"])
    await rows.tasks(
        job, ["ready", "ready"], name="shot {{value.shot}} #{{index}}", values=[{"shot": "a"}, {"shot": "b"}]
    )
    await rows.tasks(job, ["ready"], name="join")

    names = [task.name for task in (await client.tasks(job)).items]

    assert names == ["frame[0]", "frame[1]", "shot a #0", "shot b #1", "join"]


async def test_tasks_come_in_their_order_page_by_page_and_by_state(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    made = await rows.tasks(job, FRAMES)

    first = await client.tasks(job, limit=4)
    second = await client.tasks(job, limit=4, after=int(first.next or 0))

    assert [task.id for page in (first, second) for task in page.items] == made
    assert [task.id for task in (await client.tasks(job, state="ready")).items] == made[2:4]


async def test_a_task_tells_its_attempts_outputs_and_specification(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    body = {"kind": "exec", "commands": [{"name": "exec"}], "environment": {"API_TOKEN": "hush", "SCENE": "a"}}
    (task,) = await rows.tasks(job, ["completed"], body=body | {"has_places": True})
    await rows.ended(task, "failed", exit_code=11, error="out of memory")
    await rows.ended(task, "completed", attempt=2, result={"frames": 3}, done=3, total=3)
    await rows.insert("outputs", task_id=task, attempt=2, name="a/b.png", size=7, digest="0" * 64, stored=True)

    found = await client.task(task)

    assert [(one.attempt, one.ending, one.accepted, one.exit_code, one.result) for one in found.attempts] == [
        (2, "completed", True, None, {"frames": 3}),
        (1, "failed", False, 11, None),
    ]
    assert [(one.name, one.size, one.stored) for one in found.outputs] == [("a/b.png", 7, True)]
    assert found.spec == body | {"environment": {"API_TOKEN": "***", "SCENE": "a"}}
    assert (found.worker, found.done, found.total, found.waiting) == ("node-1", 3, 3, None)


async def test_what_is_not_there_is_said_so(client: AsyncFarmhandClient) -> None:
    asked = [
        client.job(7), client.tasks(7), client.task(7), client.worker("node-9"), client.parked_one(7), client.log(7),
        client.story_of_job(7), client.story_of_task(7), client.story_of_worker("node-9"), client.output(7, 1, "a.png"),
        client.picture(7),
    ]  # fmt: skip
    for call in asked:
        with pytest.raises(FarmhandError, match=r"there is no|has no") as caught:
            await call
        assert caught.value.exit_code is ExitCode.NOT_FOUND


async def test_a_worker_tells_what_it_offers_and_what_it_holds(rows: Rows, client: AsyncFarmhandClient) -> None:
    stats = {"cpu_percent": 62.5, "memory_used": 1, "memory_total": 4}
    await rows.worker(
        stats=stats, labels=["a100"], cpus=8.0, requested_state="drain", requested_reason="fan", requested_by="ana"
    )
    job = await rows.job()
    running, stopping, ended = await rows.tasks(job, ["running", "canceled", "failed"], slots=1, cpus=2.0)
    await rows.attempt(running, done=3, total=10, activity="frame 3")
    await rows.attempt(stopping, state="stopping")
    await rows.ended(ended, "failed")

    listed = (await client.workers()).items[0]
    found = await client.worker("node-1")

    assert (listed.used.slots, listed.capacity.slots, listed.used.cpus, listed.holds) == (2, 4, 4.0, 2)
    assert (listed.cpu_percent, listed.memory_percent, listed.hostname) == (62.5, 25.0, "node-1.lan")
    assert listed.asked is not None
    assert (listed.asked.state, listed.asked.reason, listed.asked.by) == ("drain", "fan", "ana")
    assert [(held.task, held.name, held.state, held.done) for held in found.held] == [
        (running, "frame[0]", "running", 3),
        (stopping, "frame[1]", "stopping", None),
    ]
    assert found.stats == stats


async def test_workers_are_filtered_and_paged_by_name(rows: Rows, client: AsyncFarmhandClient) -> None:
    for name in ("b-2", "a-1", "c-3"):
        await rows.worker(name, queues=["gpu", name])
    await rows.worker("d-4", connection="lost", duty="asleep")

    first = await client.workers(limit=2)
    rest = await client.workers(limit=2, after=str(first.next))

    assert [worker.id for worker in first.items + rest.items] == ["a-1", "b-2", "c-3", "d-4"]
    assert [worker.id for worker in (await client.workers(connection="lost")).items] == ["d-4"]
    assert [worker.id for worker in (await client.workers(duty="asleep")).items] == ["d-4"]
    assert [worker.id for worker in (await client.workers(queue="b-2")).items] == ["b-2"]


async def test_queues_tell_what_waits_what_runs_and_who_serves(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(queues=["gpu", "idle"])
    await rows.worker("node-2", queues=["gpu"], duty="draining")
    await rows.worker("node-3", queues=["gpu"], connection="lost")
    job = await rows.job()
    *_, running = await rows.tasks(job, ["ready", "ready", "running"], queue="gpu")
    await rows.tasks(job, ["ready"], name="other", queue="nobody")
    await rows.attempt(running)

    found = {queue.name: queue for queue in await client.queues()}

    assert (found["gpu"].waiting, found["gpu"].running, found["gpu"].serving, found["gpu"].workers) == (2, 1, 1, 2)
    assert found["gpu"].oldest_ready_at is not None
    assert (found["nobody"].waiting, found["nobody"].workers) == (1, 0)
    assert (found["idle"].waiting, found["idle"].serving, found["idle"].oldest_ready_at) == (0, 1, None)


async def test_stories_are_told_from_the_beginning(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    (task,) = await rows.tasks(job, ["ready"])
    await rows.worker()
    for number in range(3):
        await rows.execute(
            "INSERT INTO history (at, event, job_id, task_id, attempt, worker_id, actor, detail)"
            " VALUES (clock_timestamp(), $1, $2, $3, 1, 'node-1', 'ana', $4)",
            f"task.{number}", job, task, {"n": number},
        )  # fmt: skip
    await rows.execute("INSERT INTO history (at, event, job_id) VALUES (clock_timestamp(), 'job.submitted', $1)", job)

    first = await client.story_of_task(task, limit=2)
    rest = await client.story_of_task(task, limit=2, after=int(first.next or 0))

    assert [(entry.event, entry.detail) for entry in first.items + rest.items] == [
        (f"task.{number}", {"n": number}) for number in range(3)
    ]
    assert [entry.event for entry in (await client.story_of_worker("node-1")).items] == ["task.0", "task.1", "task.2"]
    assert [entry.event for entry in (await client.story_of_job(job)).items] == ["job.submitted"]


async def test_parked_messages_are_shown_with_their_bytes(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.parked(b"gone", state="dropped")
    parked = await rows.parked(b'{"v": \xff}', headers={"x": 1}, user_id="farmhand")
    await rows.parked(reason="forbidden")

    assert [one.id for one in (await client.parked()).items] == [parked + 1, parked]
    assert [one.id for one in (await client.parked(reason="invalid")).items] == [parked]
    assert [one.state for one in (await client.parked(state="dropped")).items] == ["dropped"]
    found = await client.parked_one(parked)
    assert (found.body, found.text, found.headers, found.size) == ("eyJ2Ijog/30=", '{"v": \ufffd}', {"x": 1}, 8)


async def test_the_farm_in_numbers(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker()
    await rows.worker("node-2", connection="lost")
    job = await rows.job()
    *_, running = await rows.tasks(job, ["ready", "ready", "running"])
    await rows.attempt(running)
    await rows.parked()
    await rows.insert("coordinators", id="c1", software="farmhand 1.2.3")

    found = await client.info()

    assert (found.version, found.protocol, found.coordinator) == ("1.2.3", 1, "c1")
    assert found.workers == {"online": 1, "lost": 1}
    assert (found.slots, found.slots_used, found.ready, found.running, found.parked) == (4, 1, 2, 1, 1)
    assert found.jobs == {"active": 1}
    assert [one.id for one in found.coordinators] == ["c1"]


async def test_text_with_every_character_survives(rows: Rows, client: AsyncFarmhandClient) -> None:
    name = json.loads('"\\u001b[31m \\u202e \\ud83d\\ude00 é"')
    job = await rows.job(name)

    assert (await client.job(job)).name == name
