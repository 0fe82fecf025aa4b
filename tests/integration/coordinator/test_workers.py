"""Workers come, leave, fall silent, drain, and disagree with the rows."""

import pytest

from coordinator.operations.requests import ConflictError, LabelWorker, NotFoundError, RequestWorkerState
from schemas.task import AttemptRef, Held, Outcome, Phase, Verdict
from schemas.worker import Capacity, Duty, RequestedState, WorkerOffline, WorkerStateChanged
from tests.support.farm import Farm
from tests.support.wire import WireWorker


async def test_the_same_instance_keeps_its_epoch_and_another_starts_the_next(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await worker.online()
        assert worker.epoch == 1
    async with WireWorker(farm.amqp_url, "node-1") as reborn:
        await reborn.online()
        assert reborn.epoch == 2


async def test_what_a_new_instance_does_not_list_runs_again_and_what_it_lists_is_kept(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({"array": {"count": 2}})
        kept, forgotten = await worker.assigned(), await worker.assigned()
        await worker.start(kept)
        await worker.start(forgotten)
        await farm.until("SELECT count(*) = 2 FROM tasks WHERE state = 'running'")
    async with WireWorker(farm.amqp_url, "node-1") as reborn:
        await reborn.say_online_without_waiting(holds=[Held(task=kept.task, attempt=1, phase=Phase.RUNNING)])
        welcome = await reborn.hear(lambda one: one.type == "welcome")
        assert [(one.task, one.attempt) for one in welcome.keep] == [(kept.task, 1)]

        again = await reborn.assigned()
        assert (again.task, again.attempt) == (forgotten.task, 2)
        await reborn.finish(kept)
        assert await reborn.verdict(kept) is Verdict.ACCEPTED


async def test_a_goodbye_hands_tasks_back_without_burning_a_retry(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as leaving, WireWorker(farm.amqp_url, "node-2") as staying:
        await leaving.online()
        await farm.submit({"retries": 0})
        attempt = await leaving.assigned()
        await leaving.start(attempt)
        await staying.online()

        back = [AttemptRef(task=attempt.task, attempt=attempt.attempt)]
        await leaving.say(WorkerOffline(reason="shutting down", handed_back=back))

        again = await staying.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)
        rows = await farm.rows("SELECT ending FROM attempts WHERE attempt = 1")
        assert rows[0][0] == "interrupted"
        assert (await farm.rows("SELECT connection FROM workers WHERE id = 'node-1'"))[0][0] == "offline"


async def test_a_silent_worker_is_suspect_then_lost_and_its_task_runs_elsewhere(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as silent, WireWorker(farm.amqp_url, "node-2") as other:
        await silent.online()
        await farm.submit({"retries": 0})
        attempt = await silent.assigned()
        await silent.start(attempt)
        await other.online()
        await _age(farm, "node-1", 20)
        await farm.until("SELECT connection = 'suspect' FROM workers WHERE id = 'node-1'")
        assert await farm.state(attempt.task) == "running"

        await _age(farm, "node-1", 31)

        again = await other.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)
        await silent.finish(attempt)
        assert await silent.verdict(attempt) is Verdict.SUPERSEDED
        await silent.beat()
        assert (await silent.hear(lambda one: one.type == "reset")).reason


async def test_a_suspect_that_is_heard_again_keeps_its_tasks(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await _age(farm, "node-1", 15)
        await farm.until("SELECT connection = 'suspect' FROM workers")

        await worker.beat(holds=[Held(task=attempt.task, attempt=1, phase=Phase.RUNNING)])

        await farm.until("SELECT connection = 'online' FROM workers")
        await worker.finish(attempt)
        assert await worker.verdict(attempt) is Verdict.ACCEPTED


async def _age(farm: Farm, worker: str, seconds: float) -> None:
    """As if the worker had been silent, and the coordinator had listened, for so long."""
    await farm.rows("UPDATE coordinators SET listening_since = clock_timestamp() - interval '1 hour'")
    await farm.rows(
        "UPDATE worker_liveness SET last_seen_at = clock_timestamp() - make_interval(secs => $2) WHERE worker_id = $1",
        worker,
        float(seconds),
    )


async def test_a_drained_worker_gets_no_more_work_until_it_is_woken(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.DRAIN, "ana", reason="fan noise"))
        request = await worker.hear(lambda one: one.type == "request_state")
        assert (request.state, request.reason, request.actor) == (RequestedState.DRAIN, "fan noise", "ana")
        await worker.say(WorkerStateChanged(duty=Duty.DRAINING))
        await farm.until("SELECT duty = 'draining' FROM workers")
        job = await farm.submit({})
        assert [row[0] for row in await farm.rows("SELECT state FROM tasks")] == ["ready"]

        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.AWAKE, "ana"))
        await worker.hear(lambda one: one.type == "request_state")
        await worker.say(WorkerStateChanged(duty=Duty.AWAKE))

        assert (await worker.assigned()).job == job.job
        story = [row[0] for row in await farm.rows("SELECT event FROM history WHERE worker_id = 'node-1' ORDER BY id")]
        assert story[:4] == ["worker.online", "worker.drain_requested", "worker.draining", "worker.awake_requested"]


async def test_a_request_that_was_not_heard_is_told_again_by_the_next_heartbeat(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.desk.ask(RequestWorkerState("node-1", RequestedState.DRAIN, "ana"))
        await worker.hear(lambda one: one.type == "request_state")

        await worker.beat()

        assert (await worker.hear(lambda one: one.type == "request_state")).state is RequestedState.DRAIN


async def test_labels_are_for_operators_to_give(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", tags=["a100"]) as worker:
        await worker.online()
        await farm.submit({"labels": ["a100"]})
        assert [row[0] for row in await farm.rows("SELECT state FROM tasks")] == ["ready"]

        await farm.desk.ask(LabelWorker("node-1", ("a100",), "ana"))

        await worker.assigned()


async def test_a_heartbeat_without_a_running_attempt_means_that_it_is_gone(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.start(attempt)
        await farm.until("SELECT state = 'running' FROM tasks")

        await worker.beat(holds=[])

        again = await worker.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)


async def test_what_a_worker_holds_without_right_is_revoked_and_a_missed_verdict_is_told_again(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()
        await worker.finish(attempt)
        await worker.verdict(attempt)

        await worker.beat(
            holds=[
                Held(task=attempt.task, attempt=1, phase=Phase.FINISHED, outcome=Outcome.COMPLETED),
                Held(task=999, attempt=1, phase=Phase.RUNNING),
            ]
        )

        assert await worker.verdict(attempt) is Verdict.ACCEPTED
        revoke = await worker.hear(lambda one: one.type == "revoke")
        assert [one.task for one in revoke.attempts] == [999]


async def test_an_assignment_that_shows_no_sign_of_life_is_sent_again(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        first = await worker.assigned()

        second = await worker.assigned(again=True)

        assert (first.task, first.attempt) == (second.task, second.attempt)


async def test_an_attempt_that_only_a_heartbeat_speaks_of_is_running(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        await farm.submit({})
        attempt = await worker.assigned()

        await worker.beat(holds=[Held(task=attempt.task, attempt=1, phase=Phase.RUNNING)])

        await farm.until("SELECT state = 'running' FROM tasks")


async def test_slots_are_never_overdrawn(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1", capacity=Capacity(slots=3, cpus=2)) as worker:
        await worker.online()
        await farm.submit({"array": {"count": 10}, "resources": {"cpus": 1.0}})
        first, second = await worker.assigned(), await worker.assigned()
        rows = await farm.rows("SELECT count(*) FROM attempts WHERE state <> 'ended'")
        assert rows[0][0] == 2
        await worker.finish(first)
        third = await worker.assigned()
        assert {first.task, second.task, third.task} == {first.task, first.task + 1, first.task + 2}


async def test_requests_for_workers_that_are_not_there_are_refused(farm: Farm) -> None:
    with pytest.raises(NotFoundError, match="no worker 'nobody'"):
        await farm.desk.ask(RequestWorkerState("nobody", RequestedState.DRAIN, "ana"))
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        with pytest.raises(ConflictError, match="cannot restart by itself"):
            await farm.desk.ask(RequestWorkerState("node-1", RequestedState.RESTART, "ana"))
