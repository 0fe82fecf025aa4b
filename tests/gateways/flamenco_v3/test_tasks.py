"""Flamenco 3's task operations, call by call. Each case names what it was taken from."""

from typing import Any
from uuid import uuid4

import pytest

from coordinator.operations.requests import CancelJob
from tests.gateways.flamenco_v3.conftest import Studio
from tests.gateways.flamenco_v3.test_workers import told

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEEP = {"mayKeepRunning": True, "reason": "", "statusChangeRequested": False}


def stop(reason: str, *, change: bool = False) -> dict[str, Any]:
    """MayKeepRunning, which says no."""
    return {"mayKeepRunning": False, "reason": reason, "statusChangeRequested": change}


# --- scheduleTask ------------------------------------------------------------------------------------------


async def test_a_task_is_given_as_it_was_submitted(studio: Studio) -> None:
    """Flamenco 3 API: scheduleTask, 200 AssignedTask; steps_total counts each command once at least."""
    worker = await studio.awake()
    commands: list[dict[str, Any]] = [
        {"name": "blender-render", "parameters": {"exe": "{blender}", "args": ["-f", "1..3"]}, "steps": 3},
        {"name": "copy-file", "parameters": {"src": "/a", "dest": "/b"}},
    ]
    await studio.submit({"name": "frames", "priority": 60, "commands": commands}, priority=70)
    task = await worker.given()
    uuid, job = task.pop("uuid"), task.pop("job")
    assert len({uuid, job}) == 2
    assert task == {
        "name": "frames",
        "status": "active",
        "priority": 60,
        "job_priority": 70,
        "job_type": "farmhand",
        "task_type": studio.kind,
        "commands": [
            {"name": "blender-render", "parameters": commands[0]["parameters"], "total_step_count": 3},
            {"name": "copy-file", "parameters": commands[1]["parameters"], "total_step_count": 0},
        ],
        "steps_completed": 0,
        "steps_total": 4,
    }


async def test_where_there_is_none_there_is_no_content(studio: Studio) -> None:
    """Flamenco 3 API: scheduleTask, 204; a POST without a body."""
    worker = await studio.awake()
    assert told(await worker.task()) == (204, None)


async def test_another_state_comes_before_the_wrong_state_and_before_work(studio: Studio) -> None:
    """Flamenco 3 API: scheduleTask, 423 before 409 before 204, whether lazy or not."""
    worker = await studio.awake()
    await studio.submit({"name": "a"})
    for lazy in (True, False):
        await studio.ask(worker, "asleep", lazy=lazy)
        assert told(await worker.task()) == (423, {"status_requested": "asleep"})
    await worker.changed("starting")
    assert told(await worker.task()) == (423, {"status_requested": "asleep"}), "before 409"
    await worker.changed("asleep")
    status, body = told(await worker.task())
    assert (status, body["message"]) == (409, 'worker is in state "asleep", requires state "awake" to execute tasks')
    await studio.ask(worker, "awake")
    await worker.changed("awake")
    assert (await worker.given())["name"] == "a"


async def test_the_workers_own_task_is_given_again_whatever_else_there_is(studio: Studio) -> None:
    """Flamenco 3: a poll is answered with the task that the worker has, before any of higher priority."""
    worker = await studio.awake()
    await studio.submit({"name": "first"})
    first = await worker.given()
    await worker.update(first["uuid"], taskStatus="active", steps_completed=1)
    await studio.submit({"name": "second"}, priority=100)
    again = await worker.given()
    assert again == first | {"steps_completed": 1}
    await worker.update(first["uuid"], taskStatus="completed")
    assert (await worker.given())["name"] == "second"


async def test_the_order_is_job_priority_then_task_priority_then_age(studio: Studio) -> None:
    """Flamenco 3: priorities; what is equal goes by age here, where theirs is undefined."""
    worker = await studio.awake()
    await studio.submit({"name": "old"}, {"name": "urgent", "priority": 90}, {"name": "new"})
    await studio.submit({"name": "important"}, priority=80)
    names = []
    for _ in range(4):
        task = await worker.given()
        names.append(task["name"])
        await worker.update(task["uuid"], taskStatus="completed")
    assert names == ["important", "urgent", "old", "new"]


async def test_a_worker_gets_tasks_of_its_types_only(studio: Studio) -> None:
    """Flamenco 3: a task's type is one of the worker's."""
    worker = studio.worker()
    worker.types = ["other-" + studio.kind]
    await worker.awake()
    await studio.submit({"name": "a"})
    assert (await worker.task()).status_code == 204


# --- taskUpdate --------------------------------------------------------------------------------------------


async def test_updates_are_kept_and_steps_clamped(studio: Studio) -> None:
    """Flamenco 3 API: taskUpdate, 204; activity overwrites, log is appended, steps are at most the task's."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a", "commands": [{"name": "blender-render", "steps": 5}]})
    uuid = (await worker.given())["uuid"]
    assert told(await worker.update(uuid, taskStatus="active", activity="Started", log="one\n")) == (204, None)
    await worker.update(uuid, steps_completed=2)
    await worker.update(uuid, activity="Progress " + "x" * 300)
    raw = rb'{"log": "two \u0000 \ud83d\ude00 \ud83d\n"}'
    assert (await worker.call("POST", f"/task/{uuid}", content=raw)).status_code == 204
    await worker.update(uuid, steps_completed=99)
    (row,) = await studio.farm.rows(
        "SELECT a.* FROM attempts a JOIN tasks t ON t.id = a.task_id WHERE t.job_id = $1", job
    )
    assert (row["state"], row["done"], row["total"], row["activity"][:10]) == ("running", 5, 5, "Progress x")
    await worker.update(uuid, taskStatus="completed", log="three")
    assert await studio.tasks(job) == ["completed"]
    chunks = await studio.farm.rows("SELECT chunk, text FROM logs WHERE task_id = $1 ORDER BY chunk", row["task_id"])
    assert [tuple(chunk) for chunk in chunks] == [(0, "one\n"), (1, "two \ufffd \U0001f600 \ufffd\n"), (2, "three")]


async def test_a_failure_is_judged_by_the_farm(studio: Studio) -> None:
    """Flamenco 3: workers send failed, the manager decides whether it is tried again."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a", "retries": 0})
    uuid = (await worker.given())["uuid"]
    answer = await worker.update(uuid, taskStatus="failed", activity="Failed: no such file", log="Failed\n")
    assert answer.status_code == 204
    (row,) = await studio.farm.rows(
        "SELECT t.state, a.error FROM tasks t JOIN attempts a ON a.task_id = t.id WHERE t.job_id = $1", job
    )
    assert tuple(row) == ("failed", "Failed: no such file")


@pytest.mark.parametrize("status", ["soft-failed", "paused"])
async def test_what_only_the_manager_says_is_refused(studio: Studio, status: str) -> None:
    """Flamenco 3 API: taskUpdate, 400 for soft-failed."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    answer = await worker.update(uuid, taskStatus=status)
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert await studio.tasks(job) == ["running"]
    assert (await (await studio.awake()).update(uuid, taskStatus=status)).status_code == 409, "409 comes first"


async def test_anothers_task_is_not_to_be_updated(studio: Studio) -> None:
    """Flamenco 3 API: taskUpdate, 409 with an Error."""
    worker, other = await studio.awake(), await studio.awake()
    job = await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    answer = await other.update(uuid, taskStatus="completed", log="mine")
    assert (answer.status_code, answer.json()["code"]) == (409, 409)
    assert "another worker" in answer.json()["message"]
    assert await studio.tasks(job) == ["running"]
    assert not await studio.farm.rows("SELECT 1 FROM logs l JOIN tasks t ON t.id = l.task_id WHERE t.job_id = $1", job)


async def test_an_unknown_task_is_not_found_and_no_uuid_is_malformed(studio: Studio) -> None:
    """Flamenco 3 API: taskUpdate, 400 before 404; the same for may-i-run, but that what is unknown may not run."""
    worker = await studio.awake()
    nobodys = [str(uuid4()), "00000000-0000-0000-0000-000000000000", "00000000-0001-87a5-bfff-ffffffffffff"]
    for uuid in nobodys:
        assert told(await worker.update(uuid))[0] == 404
        assert told(await worker.may_run(uuid)) == (200, stop("Task not found"))
    for bad in ("1", "not-a-uuid", "%7B" + nobodys[0] + "%7D"):
        assert told(await worker.update(bad))[0] == 400
        assert told(await worker.may_run(bad))[0] == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'{"taskStatus": "done"}', b'{"taskStatus": 3}', b'{"steps_completed": -1}', b'{"log": {}}'],
)
async def test_a_malformed_update_is_refused_and_changes_nothing(studio: Studio, body: bytes) -> None:
    """Flamenco 3 API: taskUpdate, 400."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    answer = await worker.call("POST", f"/task/{uuid}", content=body)
    assert answer.status_code == 400, answer.text
    assert await studio.tasks(job) == ["running"]


async def test_an_update_said_twice_is_accepted_twice(studio: Studio) -> None:
    """Cured: an answer that was lost on its way is no reason for an error."""
    worker = await studio.awake()
    await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    for _ in range(2):
        assert (await worker.update(uuid, taskStatus="completed")).status_code == 204


async def test_a_late_update_revives_nothing(studio: Studio) -> None:
    """Cured: in Flamenco a late `failed` makes a canceled job active again."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"}, {"name": "b"})
    uuid = (await worker.given())["uuid"]
    await studio.farm.desk.ask(CancelJob(job, "tester"))
    assert told(await worker.may_run(uuid)) == (200, stop('task is in non-runnable status "canceled"'))
    for status in ("active", "failed", "completed", "queued"):
        assert (await worker.update(uuid, taskStatus=status, steps_completed=1)).status_code == 409
    assert await studio.tasks(job) == ["canceled", "canceled"]
    assert (await worker.task()).status_code == 204


async def test_a_handed_back_task_is_ready_again(studio: Studio) -> None:
    """Flamenco 3 API: taskUpdate with queued or canceled: the worker does not carry it out."""
    for status in ("queued", "canceled"):
        worker = await studio.awake()
        job = await studio.submit({"name": "a"})
        assert (await worker.update((await worker.given())["uuid"], taskStatus=status)).status_code == 204
        assert await studio.tasks(job) == ["ready"]
        await studio.farm.desk.ask(CancelJob(job, "tester"))


# --- mayWorkerRun ------------------------------------------------------------------------------------------


async def test_a_task_may_run_until_the_worker_is_wanted_otherwise_at_once(studio: Studio) -> None:
    """Flamenco 3 API: mayWorkerRun, 200; a lazy request is not told, one at once comes first."""
    worker, other = await studio.awake(), await studio.awake()
    job = await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    assert told(await worker.may_run(uuid)) == (200, KEEP)
    assert told(await other.may_run(uuid)) == (200, stop("task not assigned to this worker"))
    await studio.ask(worker, "asleep", lazy=True)
    assert told(await worker.may_run(uuid)) == (200, KEEP)
    await studio.ask(worker, "asleep", lazy=False)
    wanted = stop("worker status change requested", change=True)
    assert told(await worker.may_run(uuid)) == (200, wanted)
    assert told(await worker.may_run(str(uuid4()))) == (200, stop("Task not found"))
    assert told(await worker.task()) == (423, {"status_requested": "asleep"})
    await worker.changed("asleep")
    assert await studio.tasks(job) == ["ready"]


async def test_who_is_put_aside_at_once_stops_and_goes_to_sleep(studio: Studio) -> None:
    """Farmhand's quarantine, as a Flamenco worker can be in it."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"})
    uuid = (await worker.given())["uuid"]
    await studio.ask(worker, "quarantined", lazy=False)
    assert (await worker.may_run(uuid)).json()["statusChangeRequested"] is True
    assert told(await worker.task()) == (423, {"status_requested": "asleep"})
    await worker.changed("asleep")
    assert (await worker.state()).status_code == 204
    assert (await studio.row(worker))["duty"] == "quarantined"
    assert await studio.tasks(job) == ["ready"]
    await studio.ask(worker, "awake")
    assert told(await worker.state()) == (200, {"status_requested": "awake"})


# --- a worker's lives --------------------------------------------------------------------------------------


async def test_what_was_buffered_counts_after_a_restart_and_what_kills_its_worker_is_lost(studio: Studio) -> None:
    """Cured: in Flamenco the task that crashed a worker is given to it for ever."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a"}, {"name": "b"}, max_losses=1)
    first = await worker.given()
    await worker.sign_on()
    assert (await worker.update(first["uuid"], taskStatus="completed")).status_code == 204
    await worker.changed("awake")
    second = await worker.given()
    await worker.sign_on()
    await worker.changed("awake")
    assert (await worker.task()).status_code == 204
    assert await studio.tasks(job) == ["completed", "failed"]
    assert (await worker.update(second["uuid"], taskStatus="completed")).status_code == 409


async def test_exclusive_tasks_are_not_for_flamenco_workers(studio: Studio) -> None:
    """Farmhand: nobody would end their processes when the lease is over; `why` says so."""
    worker = await studio.awake()
    job = await studio.submit({"name": "a", "exclusive": True})
    assert (await worker.task()).status_code == 204
    async with studio.client() as client:
        why = await client.why_task((await client.tasks(job)).items[0].id)
    assert any("Farmhand's own agents" in reason.sentence for reason in why.reasons), why
