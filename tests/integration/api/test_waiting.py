"""Why a task does not run yet, read from real rows."""

import random
from typing import Any
from uuid import uuid4

import pytest

from coordinator.client import AsyncFarmhandClient
from coordinator.domain.matching import Free, TaskClass, eligible
from coordinator.domain.worker import Connection, Duty, Worker, takes_work
from coordinator.storage import waiting
from coordinator.storage.queries import load
from tests.integration.api.rows import Rows


async def why(rows: Rows, client: AsyncFarmhandClient, **need: Any) -> str:
    """The sentence for a ready task that needs this."""
    (task,) = await rows.tasks(await rows.job(), ["ready"], **need)
    found = (await client.task(task)).waiting
    assert found is not None
    return f"{found.kind}/{found.code}: {found.sentence}"


async def test_each_requirement_that_nobody_meets_is_named(rows: Rows, client: AsyncFarmhandClient) -> None:
    assert await why(rows, client) == (
        "never/no_worker: The farm has no workers yet: start farmhand-agent on a machine."
    )
    await rows.worker(tags=["linux"], memory_mb=2048)
    await rows.worker("node-2", tags=["linux"])

    assert await why(rows, client, queue="gpu") == "never/no_queue: No worker serves queue gpu."
    assert await why(rows, client, kind="nuke") == (
        "never/no_kind: No worker offers kind nuke among the 2 for queue default."
    )
    assert (
        await why(rows, client, zone="attic") == "never/no_zone: No worker is in zone attic among the 2 for kind exec."
    )
    assert await why(rows, client, tags=["mac"]) == "never/no_tag: No worker has tag mac among the 2 for kind exec."
    assert await why(rows, client, labels=["a100", "nda"]) == (
        "never/no_label: No worker has all labels a100, nda among the 2 for kind exec; "
        "approve with: farmhand workers label NAME a100 nda"
    )
    assert await why(rows, client, slots=5, memory_mb=4096) == (
        "never/too_big: Asks for 5 slots, 4 GiB of memory; none of 2 workers is that large."
    )


async def test_workers_that_could_but_do_not_are_counted_by_state(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker("a", duty="asleep")
    await rows.worker("b", requested_state="drain")
    await rows.worker("c", connection="suspect")
    await rows.worker("d", connection="lost")
    await rows.worker("e", connection="offline")

    assert await why(rows, client) == (
        "later/away: 5 workers could run it: 2 not taking work (asleep, draining or asked to stop), "
        "1 not heard from, 2 offline or lost."
    )


async def test_busy_full_and_free_workers_are_told_apart(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(slots=1, cpus=4.0)
    (running,) = await rows.tasks(await rows.job(), ["running"])
    await rows.attempt(running)
    assert await why(rows, client) == "later/busy: The only capable worker is busy."

    await rows.worker("node-2", slots=4, cpus=4.0)
    (running,) = await rows.tasks(await rows.job(), ["running"], cpus=3.0)
    await rows.attempt(running, "node-2")
    assert await why(rows, client, cpus=2.0) == (
        "later/resources: 1 worker with free slots, but none has 1 slot, 2 cpus left."
    )
    assert await why(rows, client, cpus=1.0) == "turn/next_pass: Can start now: 1 worker with room."


async def test_a_blocked_task_names_what_stands_in_its_way(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    frames = await rows.tasks(job, ["completed", "running", "ready"])
    (join,) = await rows.tasks(job, ["blocked"], name="join")
    for frame in frames:
        await rows.insert("dependencies", task_id=join, needs=frame)
    await rows.execute("UPDATE tasks SET unmet = 2 WHERE id = $1", join)

    async def sentence() -> str:
        found = (await client.task(join)).waiting
        assert found is not None
        return f"{found.code}: {found.sentence}"

    assert await sentence() == f"dependency: Waits for 2 of 3 tasks; the first is task {frames[1]} (frame[1])."
    await rows.execute("UPDATE tasks SET state = 'failed' WHERE id = $1", frames[2])
    assert await sentence() == (
        f"dependency_never: Needs task {frames[2]} (frame[2]), which failed: requeue {frames[2]} or cancel this one."
    )
    await rows.execute("DELETE FROM dependencies WHERE needs <> $1", frames[0])
    await rows.execute("UPDATE dependencies SET promoted = true")
    await rows.ended(frames[0], "completed")
    assert await sentence() == (
        f"promotion: Waits until the outputs of task {frames[0]} (frame[0]) are at their published path."
    )


async def test_a_scheduled_and_an_assigned_task_say_since_when(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    scheduled, assigned = await rows.tasks(job, ["scheduled", "assigned"])
    await rows.attempt(assigned, state="assigned", started_at=None)

    first, second = (await client.task(scheduled)).waiting, (await client.task(assigned)).waiting

    assert first is not None
    assert second is not None
    assert (first.code, first.sentence) == ("backoff", "Failed 1 time; tries again in 0 s.")
    assert second.sentence.startswith("Given to worker node-1 ")


@pytest.mark.parametrize("seed", range(5))
async def test_the_funnel_counts_the_workers_that_matching_would_choose(rows: Rows, seed: int) -> None:
    dice = random.Random(seed)
    words = ["a", "b"]

    def some() -> list[str]:
        return dice.sample(words, dice.randint(0, 2))

    workers = []
    for number in range(20):
        capacity: dict[str, Any] = {
            "slots": dice.randint(1, 3), "cpus": float(dice.randint(0, 3)), "memory_mb": dice.randint(0, 2),
            "gpus": dice.randint(0, 1),
        }  # fmt: skip
        state: dict[str, Any] = {
            "connection": dice.choice(["online", "online", "lost"]), "duty": dice.choice(["awake", "asleep"]),
        }  # fmt: skip
        fields: dict[str, Any] = {
            "kinds": [*some(), "a"], "queues": [*some(), "a"], "tags": some(), "labels": some(),
            "zone": dice.choice(words), "requested_state": dice.choice([None, "awake", "drain"]), **capacity,
        }  # fmt: skip
        await rows.worker(f"node-{number}", **fields, **state)
        workers.append(
            Worker(f"node-{number}", Connection(state["connection"]), Duty(state["duty"]), 1, uuid4(), **fields)
        )
    holding: dict[str, Any] = {"slots": 1, "cpus": 1.0, "memory_mb": 0, "gpus": 0}
    job = await rows.job()
    for number, task in enumerate(await rows.tasks(job, ["running"] * 10, **holding)):
        await rows.attempt(task, f"node-{number}")
    held = TaskClass(1, "a", "a", frozenset(), frozenset(), None, 1, 1.0, 0, 0)

    need: dict[str, Any] = {
        "queue": "a", "kind": "a", "tags": some(), "labels": some(), "zone": dice.choice([None, "a"]),
        "slots": dice.randint(1, 2), "cpus": float(dice.randint(0, 2)), "memory_mb": dice.randint(0, 1),
        "gpus": dice.randint(0, 1),
    }  # fmt: skip
    class_id = await rows.insert("classes", fingerprint="wanted", **need)
    wanted = TaskClass(class_id, **(need | {"tags": frozenset(need["tags"]), "labels": frozenset(need["labels"])}))
    row = await rows.fetchrow(load("views")["funnel"], class_id)
    funnel = waiting.funnel(dict(row))

    capable = [worker for worker in workers if eligible(worker, wanted)]
    awake = [worker for worker in capable if takes_work(worker)]
    free = [
        worker
        for worker in awake
        if Free.of(worker, {1: 1} if int(worker.id.split("-")[1]) < 10 else {}, {1: held}).fits(wanted)
    ]
    assert (funnel.capable, funnel.awake, funnel.free) == (len(capable), len(awake), len(free))
