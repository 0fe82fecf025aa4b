"""Flamenco 1 workers on a real farm: tasks are pushed to them, and whatever becomes of them none is lost."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from coordinator.client import AsyncFarmhandClient
from coordinator.gateways.flamenco_v1 import translate
from coordinator.operations.requests import CancelTasks
from tests.gateways.conftest import Gates
from tests.gateways.flamenco_v1.scripted import Worker
from tests.support.farm import running
from tests.support.wire import WireWorker


@pytest.fixture
async def gates(database_url: str, amqp_url: str) -> AsyncIterator[Gates]:
    """A farm that asks its Flamenco 1 workers often."""
    async with running(database_url, amqp_url, gateways="flamenco_v1", flamenco_v1_poll_s=1.5) as farm:
        yield Gates(farm)


@pytest.fixture
async def worker(gates: Gates) -> AsyncIterator[Worker]:
    """One that has registered."""
    async with Worker(gates.url) as worker:
        assert (await worker.register()).status_code == 204
        yield worker


def a_program(**fields: Any) -> dict[str, Any]:
    """A task that both a Flamenco 1 worker and an agent can run."""
    return {"kind": "exec", "commands": [{"name": "exec", "parameters": {"argv": ["true"]}}], **fields}


async def test_a_task_is_pushed_reported_and_the_next_follows(gates: Gates, worker: Worker) -> None:
    await gates.farm.submit(a_program(name="a"), a_program(name="b"))
    first = await worker.given()
    assert first["task_command"] == '["true"]'
    await gates.farm.until("SELECT count(*) = 1 FROM tasks WHERE state = 'running'")
    async with httpx.AsyncClient(base_url=gates.url, timeout=60) as http:
        (shown,) = (await http.get("/workers")).json().values()
        told = await http.patch(f"/workers/{shown['id']}", json={"status": "rendering"})
    assert (shown["status"], str(shown["current_task"])) == ("rendering", first["task_id"])
    assert str(told.json()["task_id"]) == first["task_id"]
    assert (await worker.says(first["task_id"], status="running", activity="frame 1 of 2")).status_code == 204
    await gates.farm.until("SELECT true FROM attempts WHERE activity = 'frame 1 of 2'")
    assert (await worker.says(first["task_id"], status="finished", time_cost="3")).status_code == 204
    second = await worker.given(2)
    written = "frame\n" * 100_000 + "no such file"
    assert (await worker.says(second["task_id"], status="failed", log=written)).status_code == 204
    error = await gates.farm.until("SELECT error FROM attempts WHERE ending = 'failed'")
    assert error.endswith("frame\nno such file"), "the end of what it wrote, however much it was"
    assert await gates.farm.until("SELECT run_s FROM attempts WHERE ending = 'completed'") == 3.0


async def test_a_task_of_a_flamenco_server_is_told_by_the_server_s_own_number(gates: Gates, worker: Worker) -> None:
    form = {"task_id": "77", "type": "exec", "parser": "blender_render", "settings": '{"argv": ["true"]}'}
    await worker.http.post("/tasks", data=form)
    given = await worker.given()
    assert (given["task_id"], given["task_parser"]) == ("77", "blender_render")
    assert (await worker.says("77", status="finished")).status_code == 204
    assert await gates.farm.until("SELECT state FROM tasks WHERE state = 'completed'")


async def test_the_task_of_a_worker_that_dies_runs_elsewhere(gates: Gates, worker: Worker) -> None:
    await gates.farm.submit(a_program(name="frame"))
    given = await worker.given()
    async with WireWorker(gates.farm.amqp_url, "node-1", kinds=["exec"]) as node:
        await node.online()
        await worker.die()
        attempt = await node.assigned()
        assert (translate.told(attempt.task, None), attempt.attempt) == (int(given["task_id"]), 2)
        rows = await gates.farm.rows("SELECT connection, reason FROM workers WHERE protocol = 'flamenco_v1'")
        assert rows[0]["connection"] == "offline"
        assert "nobody listens" in rows[0]["reason"]
        late = await worker.says(given["task_id"], status="running")
        assert late.status_code == 403, "the former worker is told to stop"
        await node.finish(attempt)
        assert await gates.farm.until("SELECT state = 'completed' FROM tasks")


async def test_what_a_worker_does_not_take_is_handed_back_and_no_retry_is_burnt(gates: Gates, worker: Worker) -> None:
    worker.answers["/execute_task"] = 302
    await gates.farm.submit(a_program(name="frame"))
    async with WireWorker(gates.farm.amqp_url, "node-1", kinds=["exec"]) as node:
        await worker.until(lambda: "POST /execute_task" in worker.asked)
        await node.online()
        attempt = await node.assigned()
        (counts,) = await gates.farm.rows("SELECT failures, losses FROM tasks")
        assert tuple(counts) == (0, 0)
        await node.finish(attempt)
        assert await gates.farm.until("SELECT state = 'completed' FROM tasks")


async def test_a_canceled_task_is_killed_and_the_worker_is_free(gates: Gates, worker: Worker) -> None:
    await gates.farm.submit(a_program(name="frame"))
    given = await worker.given()
    task = await gates.farm.until("SELECT id FROM tasks WHERE state = 'running'")
    await gates.farm.desk.ask(CancelTasks((task,), "tester"))
    await worker.until(lambda: worker.kills > 0)
    assert (await worker.says(given["task_id"], status="aborted")).status_code == 204
    assert await gates.farm.until("SELECT ending FROM attempts WHERE state = 'ended'") == "revoked"
    await gates.farm.submit(a_program(name="next"))
    await worker.given(2)


async def test_a_worker_that_forgot_its_task_is_found_out(gates: Gates, worker: Worker) -> None:
    """Flamenco 1 worker: its last word is said once, and lost when nobody hears it."""
    await gates.farm.submit(a_program(name="frame"))
    await worker.given()
    await gates.farm.until("SELECT true FROM tasks WHERE state = 'running'")
    worker.running = None
    error = await gates.farm.until("SELECT error FROM attempts WHERE ending = 'failed'")
    assert "never said how the task ended" in error


async def test_what_was_taken_from_a_worker_while_it_was_away_is_killed(worker: Worker) -> None:
    worker.running = "8"
    await worker.until(lambda: worker.kills > 0)


async def test_a_drained_worker_is_given_nothing_until_it_is_awake(gates: Gates, worker: Worker) -> None:
    name = translate.name_of(worker.foreign_id)
    async with AsyncFarmhandClient(gates.url, actor="tester") as client:
        await client.request_worker_state(name, "drain")
        await gates.farm.until("SELECT duty = 'draining' FROM workers")
        await gates.farm.submit(a_program(name="frame"))
        await client.request_worker_state(name, "awake")
        await worker.given()
        assert await gates.farm.until("SELECT duty = 'awake' FROM workers")


async def test_a_task_that_it_cannot_run_is_not_for_it_and_says_why(gates: Gates, worker: Worker) -> None:
    await gates.farm.submit(a_program(name="two", environment={"LANG": "C"}), {"name": "echo", "kind": "exec"})
    error = await gates.farm.until("SELECT error FROM attempts WHERE ending = 'failed'")
    assert "cannot be given an environment" in error
    assert worker.tasks == []
    rows = await gates.farm.rows("SELECT state, attempt FROM tasks ORDER BY id")
    assert tuple(rows[1]) == ("ready", 0), "another command than its own is not even tried there"


async def test_workers_outside_the_network_are_not_taken(database_url: str, amqp_url: str) -> None:
    async with running(database_url, amqp_url, gateways="flamenco_v1", flamenco_v1_network="10.0.0.0/8") as farm:
        gates = Gates(farm)
        async with Worker(gates.url) as worker:
            answer = await worker.register()
            assert (answer.status_code, worker.asked) == (403, [])


async def test_what_a_coordinator_decided_and_did_not_tell_the_next_one_tells(database_url: str, amqp_url: str) -> None:
    async with running(database_url, amqp_url, gateways="flamenco_v1") as farm, Worker(Gates(farm).url) as worker:
        await worker.register()
        farm.coordinator.stop()
        async with running(database_url, amqp_url) as deaf:
            await deaf.submit(a_program(name="frame"))
            await deaf.until("SELECT state = 'assigned' FROM tasks")
            assert worker.tasks == []
        async with running(database_url, amqp_url, gateways="flamenco_v1") as next_one:
            await worker.given()
            await next_one.until("SELECT state = 'running' FROM tasks")
            assert await next_one.rows("SELECT attempt FROM attempts WHERE attempt > 1") == []
