"""Exclusive tasks: whatever the signal of death, the next attempt waits for the worker's word or its lease's end."""

from typing import Any

import pytest

from coordinator.operations.requests import CancelTasks, RequeueTasks
from schemas.task import AssignedAttempt, AttemptRef, Held, Outcome, Phase
from schemas.worker import Capacity, WorkerOffline
from tests.support.farm import Farm, running
from tests.support.wire import WireWorker

EXCLUSIVE = {"kind": "exec", "commands": [{"name": "exec"}], "exclusive": True}
HELD = "SELECT count(*) FROM leases WHERE released_at IS NULL"


def a_worker(farm: Farm, name: str, **more: Any) -> WireWorker:
    return WireWorker(farm.amqp_url, name, **{"kinds": ["exec"], "supervises": ["exec", "python"]} | more)


async def granted(worker: WireWorker) -> AssignedAttempt:
    """The next attempt; its heartbeat was acknowledged, and it runs."""
    attempt = await worker.assigned()
    assert attempt.exclusive
    await beat(worker, attempt, Phase.RECEIVED)
    ack = await worker.hear(lambda one: one.type == "beat_ack")
    assert [(one.task, one.attempt) for one in ack.leases] == [(attempt.task, attempt.attempt)]
    assert (ack.seq, ack.lease_s) == (worker.seq, 30)
    await worker.start(attempt)
    return attempt


async def beat(worker: WireWorker, attempt: AssignedAttempt, phase: Phase) -> None:
    await worker.beat(holds=[Held(task=attempt.task, attempt=attempt.attempt, phase=phase)])


async def waits(farm: Farm, task: int) -> None:
    """The task waits, for a lease that is over within 31.5 s of the last heartbeat."""
    row = (await farm.rows("SELECT state, not_before - farm_now(), reason FROM tasks WHERE id = $1", task))[0]
    assert row[0] == "scheduled"
    assert 20 < row[1].total_seconds() <= 31.5
    assert row[2] == "exclusive: may still run on node-1"


async def lease_over(farm: Farm, task: int) -> None:
    """As if the lease had been given so long ago that it is over."""
    await farm.rows("UPDATE leases SET until = until - interval '40 s', free_at = free_at - interval '40 s'")
    await farm.rows("UPDATE tasks SET not_before = not_before - interval '40 s' WHERE id = $1", task)


async def lose(farm: Farm, worker: str) -> None:
    await farm.rows("UPDATE coordinators SET listening_since = farm_now() - interval '1 hour'")
    await farm.rows(
        "UPDATE worker_liveness SET last_seen_at = farm_now() - interval '31 s' WHERE worker_id = $1", worker
    )
    await farm.until("SELECT connection = 'lost' FROM workers WHERE id = $1", worker)


async def test_a_lost_workers_task_waits_until_its_lease_is_over(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as silent, a_worker(farm, "node-2") as other:
        await silent.online()
        await farm.submit(EXCLUSIVE)
        attempt = await granted(silent)
        await other.online()
        await farm.until("SELECT state = 'running' FROM tasks")

        await lose(farm, "node-1")

        await waits(farm, attempt.task)
        await lease_over(farm, attempt.task)
        again = await other.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)
        assert (await farm.rows("SELECT released_by FROM leases WHERE attempt = 1"))[0][0] == "expired"


async def test_a_closed_connection_gives_nothing_away_before_the_lease_is_over_even_without_a_grace(
    database_url: str, amqp_url: str
) -> None:
    async with (
        running(database_url, amqp_url, reconnect_grace_s=0.0) as farm,
        a_worker(farm, "node-1", named=True) as cut_off,
        a_worker(farm, "node-2") as other,
    ):
        await farm.until("SELECT bool_and(hears_broker AND heartbeats_at > started_at) FROM coordinators")
        await cut_off.online()
        await farm.submit(EXCLUSIVE)
        attempt = await granted(cut_off)
        await other.online()
        await farm.until("SELECT state = 'running' FROM tasks")

        await cut_off.vanish()

        await farm.until("SELECT connection = 'lost' FROM workers WHERE id = 'node-1'")
        await waits(farm, attempt.task)
        await lease_over(farm, attempt.task)
        assert (await other.assigned()).attempt == 2


async def test_an_attempt_that_was_never_granted_is_in_nobodys_way(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as silent, a_worker(farm, "node-2") as other:
        await silent.online()
        await farm.submit(EXCLUSIVE)
        attempt = await silent.assigned()
        await other.online()

        await lose(farm, "node-1")

        assert (await other.assigned()).task == attempt.task
        assert (await farm.rows("SELECT released_by FROM leases WHERE attempt = 1"))[0][0] == "never_granted"


async def test_a_goodbye_that_does_not_hand_it_back_is_not_believed_and_one_that_does_is(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as leaving, a_worker(farm, "node-2") as other:
        await leaving.online()
        await farm.submit(EXCLUSIVE | {"name": "left"}, EXCLUSIVE | {"name": "handed-back"})
        left, back = await granted(leaving), await granted(leaving)
        await other.online()

        refs = [AttemptRef(task=back.task, attempt=back.attempt)]
        await leaving.say(WorkerOffline(reason="shutting down", handed_back=refs))

        assert (await other.assigned()).task == back.task
        await waits(farm, left.task)


async def test_what_a_new_instance_does_not_list_may_still_run(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as worker:
        await worker.online()
        await farm.submit(EXCLUSIVE)
        attempt = await granted(worker)
    async with a_worker(farm, "node-1") as reborn, a_worker(farm, "node-2") as other:
        await other.online()
        await reborn.online()
        await farm.until("SELECT ending = 'lost' FROM attempts")
        await waits(farm, attempt.task)

        await reborn.finish(attempt, Outcome.INTERRUPTED)  # late, superseded, and believed in this

        await reborn.verdict(attempt)
        await farm.until("SELECT state = 'assigned' FROM tasks")
        assert (await farm.rows("SELECT released_by FROM leases WHERE attempt = 1"))[0][0] == "said"


async def test_a_heartbeat_without_it_is_no_proof_that_it_ended(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as worker:
        await worker.online()
        await farm.submit(EXCLUSIVE)
        attempt = await granted(worker)
        await farm.until("SELECT state = 'running' FROM tasks")

        await worker.beat(holds=[])

        await farm.until("SELECT ending = 'lost' FROM attempts")
        await waits(farm, attempt.task)


@pytest.mark.parametrize("confirmed", [True, False])
async def test_a_canceled_and_requeued_task_waits_for_the_old_attempt(farm: Farm, *, confirmed: bool) -> None:
    async with a_worker(farm, "node-1", capacity=Capacity(slots=1)) as worker, a_worker(farm, "node-2") as other:
        await worker.online()
        await farm.submit(EXCLUSIVE)
        attempt = await granted(worker)
        await other.online()
        await farm.desk.ask(CancelTasks((attempt.task,), "ana"))
        await farm.desk.ask(RequeueTasks((attempt.task,), "ana"))
        await waits(farm, attempt.task)
        # What was taken from a worker is renewed no more, whatever it goes on to list.
        until = (await farm.rows("SELECT until FROM leases"))[0][0]
        await beat(worker, attempt, Phase.RUNNING)
        await worker.hear(lambda one: one.type == "revoke")
        await worker.hear(lambda one: one.type == "revoke")
        assert (await farm.rows("SELECT until FROM leases"))[0][0] == until

        if confirmed:
            await worker.finish(attempt, Outcome.CANCELED)
        else:
            await lease_over(farm, attempt.task)

        again = await other.assigned()
        assert (again.task, again.attempt) == (attempt.task, 2)
        by = (await farm.rows("SELECT released_by FROM leases WHERE attempt = 1"))[0][0]
        assert by == ("said" if confirmed else "expired")


async def test_each_heartbeat_renews_the_lease_and_is_acknowledged_with_it(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as worker:
        await worker.online()
        await farm.submit(EXCLUSIVE)
        attempt = await granted(worker)
        await farm.until("SELECT state = 'running' FROM tasks")
        first = (await farm.rows("SELECT until, free_at FROM leases"))[0]
        assert round((first["free_at"] - first["until"]).total_seconds(), 3) == 1.5
        for _ in range(3):
            await beat(worker, attempt, Phase.RUNNING)
            ack = await worker.hear(lambda one: one.type == "beat_ack")
            assert ack.seq == worker.seq
        assert (await farm.rows("SELECT until FROM leases"))[0][0] > first["until"]

        await worker.finish(attempt)

        await worker.verdict(attempt)
        assert (await farm.rows(HELD))[0][0] == 0


async def test_only_a_worker_that_can_supervise_all_its_commands_gets_it(farm: Farm) -> None:
    async with a_worker(farm, "node-1", supervises=[]) as plain, a_worker(farm, "node-2") as able:
        await plain.online()
        await farm.submit(EXCLUSIVE)
        await farm.submit({"kind": "exec"})
        assert not (await plain.assigned()).exclusive

        await able.online()

        assert (await able.assigned()).exclusive


async def test_leases_are_as_long_as_a_large_farm_needs(farm: Farm) -> None:
    async with a_worker(farm, "node-1") as worker:
        await worker.online()
        await farm.rows(
            "INSERT INTO workers (id, connection, duty, epoch, instance, slots) "
            "SELECT 'far-' || n, 'online', 'awake', 1, gen_random_uuid(), 1 FROM generate_series(1, 2999) AS n"
        )
        lease_s = 30.0
        while lease_s == 30:  # until the farm has been counted again
            await worker.beat()
            if worker.seq % 3 == 0:
                lease_s = (await worker.hear(lambda one: one.type == "beat_ack")).lease_s

        assert lease_s == 3 * 3000 / 200  # three intervals, of which all workers together fill 200 a second
