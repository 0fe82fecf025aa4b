"""Why a task does not run yet, read from real rows."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.domain.worker import takes_work
from coordinator.storage import rows as rows_of
from coordinator.storage.explaining import WHY, Snapshot
from coordinator.storage.orders import Caches
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
    assert await why(rows, client, kind="nuke") == ("never/no_kind: No worker offers kind nuke.")
    assert await why(rows, client, zone="attic") == "never/no_zone: No worker is in zone attic."
    assert await why(rows, client, tags=["mac"]) == "never/no_tag: No worker has tag mac."
    assert await why(rows, client, labels=["a100", "nda"]) == (
        "never/no_label: No worker has all labels a100, nda; approve with: farmhand workers label NAME a100 nda"
    )
    assert await why(rows, client, slots=5, memory_mb=4096) == (
        "never/too_big: Asks for 5 slots, 4 GiB of memory; no worker is that large: the most is 4 slots (node-1), "
        "2 GiB of memory (node-1)."
    )
    await rows.worker("node-3", tags=["a100"])
    assert await why(rows, client, labels=["a100"]) == (
        "never/no_label: No worker has label a100; node-3 says so itself (a tag), which is not approved; "
        "approve with: farmhand workers label NAME a100"
    )


async def test_workers_that_could_but_do_not_are_counted_by_state(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker("a", duty="asleep")
    await rows.worker("b", requested_state="drain")
    await rows.worker("c", connection="suspect")
    await rows.worker("d", connection="lost")
    await rows.worker("e", connection="offline")

    (task,) = await rows.tasks(await rows.job(), ["ready"])
    found = await client.why_task(task)

    assert [f"{one.kind}/{one.code}: {one.sentence}" for one in found.reasons] == [
        "later/gone: 2 workers could run it but are offline or lost.",
        "later/suspect: 1 worker could run it but has not been heard from for a while.",
        "later/asleep: 1 worker could run it but is asleep.",
        (
            "later/asked_to_stop: 1 worker could run it but was asked for something else: b asked to be draining after "
            "what it holds."
        ),
    ]
    assert found.main.code == "asked_to_stop"
    assert [(one.who, one.remedy) for one in found.reasons[2:3]] == [("operator", "farmhand workers wake a")]
    assert [f"{step.workers} {step.words}" for step in found.funnel] == [
        "5 serve queue default", "5 offer kind exec", "2 are online", "0 are awake", "0 have 1 slot free",
    ]  # fmt: skip
    assert [(near.worker, near.lacks) for near in found.nearest] == [
        ("a", ["is asleep"]), ("b", ["is asked to be draining after what it holds"]),
        ("c", ["has not been heard from for a while"]),
    ]  # fmt: skip


async def test_who_says_what_it_serves_gets_nothing_else(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(runners=["exec"], secrets=["s3-key"], enforces=["nice"])

    assert await why(rows, client, runners=["nuke"]) == (
        "never/no_runner: No worker can run command nuke: see docs/runners.md for what each command needs on its "
        "machine."
    )
    assert await why(rows, client, secrets=["s3-key", "ftp"]) == (
        "never/no_secret: No worker has all secrets ftp, s3-key: its operator puts a file of that name into the "
        "worker's secrets_dir."
    )
    assert await why(rows, client, limits=["memory_mb"]) == (
        "never/no_limit: No worker can keep limit memory_mb: run it elsewhere, or submit it without."
    )
    (task,) = await rows.tasks(await rows.job(), ["ready"], runners=["exec"], secrets=["s3-key"], limits=["nice"])
    found = await client.why_task(task)
    assert "1 have secret s3-key" in [f"{step.workers} {step.words}" for step in found.funnel]
    assert found.able == 1
    await rows.worker("older")
    (task,) = await rows.tasks(await rows.job(), ["ready"], runners=["nuke"], secrets=["ftp"], limits=["memory_mb"])
    assert (await client.why_task(task)).able == 1, "who does not say what it serves is asked for nothing"


async def test_who_rests_is_told_with_who_wanted_it_why_and_until_when(rows: Rows, client: AsyncFarmhandClient) -> None:
    seven = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
    by_ana: dict[str, Any] = {"requested_by": "ana", "requested_source": "operator"}
    await rows.worker(
        "a", duty="asleep", requested_state="asleep", requested_by="sleep schedule", requested_source="schedule",
        sleep_schedule={"zone": "Europe/Berlin", "asleep": []}, sleep_next_at=seven,
    )  # fmt: skip
    await rows.worker("b", duty="asleep", requested_state="awake", **by_ana)
    await rows.worker("c", duty="draining", requested_state="drain", requested_reason="fan", **by_ana)
    await rows.worker("d", duty="quarantined", requested_state="quarantined", requested_reason="fails all", **by_ana,
                      requested_at=seven)  # fmt: skip
    await rows.worker("e", duty="error", reason="the disk is full")
    await rows.worker("f", connection="lost", reason="silent for 31 s")

    (task,) = await rows.tasks(await rows.job(), ["ready"])
    found = await client.why_task(task)

    assert [one.sentence.partition(" could run it but ")[2] for one in found.reasons] == [
        "is offline or lost: f: silent for 31 s.",
        "are asleep: a until Mon 07:00 Europe/Berlin by its sleep schedule; b, asked to be awake by ana.",
        "is draining: c by ana: fan.",
        "says that something is wrong there: e: the disk is full.",
        "is quarantined: d by ana: fails all.",
    ]
    assert [(one.facts["workers"], one.facts["first"]) for one in found.reasons[1:3]] == [(2, "a"), (1, "c")]
    assert [one.since for one in found.reasons if one.since] == [seven]
    assert [near.lacks for near in found.nearest] == [
        ["is asleep until Mon 07:00 Europe/Berlin by its sleep schedule"],
        ["is asleep, asked to be awake by ana"],
        ["is draining by ana: fan"],
    ]


async def test_a_running_task_whose_worker_is_not_heard_says_so(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(connection="suspect")
    (task,) = await rows.tasks(await rows.job(), ["running"])
    await rows.attempt(task)

    found = await client.why_task(task)

    assert [one.code for one in found.reasons] == ["unheard", "running"]
    assert found.main.kind == "running"
    assert found.main.sentence.startswith("node-1, which holds it, has not been heard from for ")


async def test_why_a_silent_worker_is_not_given_up_is_told(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(connection="suspect", zone="rack")
    (task,) = await rows.tasks(await rows.job(), ["running"])
    await rows.attempt(task)
    since = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    await rows.insert("freezes", zone="rack", guard="frozen", since=since, workers=40, suspects=9, counted_at=since)

    found = await client.why_task(task)

    assert [one.code for one in found.reasons] == ["unheard", "expiry_frozen", "running"]
    assert found.reasons[1].sentence.startswith("9 of 40 workers in zone rack fell silent together, ")
    assert (found.reasons[1].remedy, found.reasons[1].since) == ("farmhand freezes thaw rack", since)


async def test_a_broker_that_takes_nothing_and_a_coordinator_that_hears_nothing_are_named(
    rows: Rows, client: AsyncFarmhandClient
) -> None:
    await rows.worker()
    (task, done) = await rows.tasks(await rows.job(), ["ready", "completed"])
    await rows.ended(done, "completed")
    await rows.insert("coordinators", id="c1", software="farmhand", connection="c1")
    await rows.insert("coordinators", id="c2", software="farmhand", connection="c2")
    assert [one.code for one in (await client.why_task(task)).reasons] == ["next_pass"]

    await rows.execute("UPDATE coordinators SET blocked_since = farm_now() - interval '5 min' WHERE id = 'c1'")
    await rows.execute("UPDATE coordinators SET events_at = farm_now() - interval '12 s' WHERE id = 'c2'")
    found = await client.why_task(task)

    assert [f"{one.kind}/{one.code}: {one.sentence}" for one in found.reasons] == [
        (
            "delivery/coordinator_paused: 1 of 2 coordinators takes nothing from its queues since 12 s: what workers "
            "say waits, and none of them is given up meanwhile."
        ),
        (
            "delivery/broker_blocked: The broker takes no messages since 5 min (it is short of memory or disk): "
            "deliveries and results wait."
        ),
    ]
    assert [one.code for one in (await client.why_task(done)).reasons] == ["finished"]


async def took(rows: Rows, tasks: list[int], *minutes: float) -> None:
    """Each of *tasks* was completed after so many minutes."""
    for task, length in zip(tasks, minutes, strict=True):
        began = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
        await rows.ended(task, "completed", started_at=began, ended_at=began + timedelta(minutes=length))


async def runs_since(rows: Rows, task: int, minutes: float, worker: str = "node-1") -> None:
    await rows.attempt(task, worker)
    await rows.execute(
        "UPDATE attempts SET started_at = farm_now() - make_interval(mins => $2) WHERE task_id = $1", task, int(minutes)
    )


async def test_a_task_that_runs_longer_than_its_like_and_says_nothing_is_quiet(
    rows: Rows, client: AsyncFarmhandClient
) -> None:
    await rows.worker()
    *done, task = await rows.tasks(await rows.job(), ["completed"] * 40 + ["running"])
    await took(rows, done, *[1.0] * 20, *[6.0] * 20)
    await runs_since(rows, task, 48)

    found = await client.why_task(task)
    assert [one.code for one in found.reasons] == ["quiet", "running"]
    assert found.main.sentence == (
        "It runs for 48 min, and its log is silent for 48 min; of the tasks like it, 95 % took 6 min at most."
    )

    await rows.insert("log_sizes", task_id=task, attempt=1, bytes=1, heard_at=datetime.now(UTC))
    assert [one.code for one in (await client.why_task(task)).reasons] == ["running"]


async def test_what_may_be_expected_is_told_where_it_can_be_guessed(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(slots=1)
    shots = await rows.job("shots", priority=60)
    *done, running, last = await rows.tasks(shots, ["completed"] * 6 + ["running", "ready"])
    await took(rows, done, 1, 2, 11, 11, 12, 12)
    await runs_since(rows, running, 6)
    job = await rows.job()
    first, second = await rows.tasks(job, ["ready", "ready"], name="frames")
    (join,) = await rows.tasks(job, ["blocked"], name="join")
    await rows.insert("dependencies", task_id=join, needs=running)

    async def told(task: int) -> str:
        return (await client.why_task(task)).main.sentence

    busy = "All slots of 1 worker that could run it are in use; the next has room in about"
    # Those that took longer than 6 minutes took 5, 5, 6 and 6 more.
    assert await told(last) == f"{busy} 5 min."
    assert await told(first) == f"{busy} 5 min; 1 task comes first."
    assert await told(second) == f"{busy} 5 min; 2 tasks come first."
    assert await told(join) == (f"Waits for 1 of 1 task; the first is task {running} (frame[6]), done in about 5 min.")


async def test_busy_full_and_free_workers_are_told_apart(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker(slots=1, cpus=4.0)
    (running,) = await rows.tasks(await rows.job(), ["running"])
    await rows.attempt(running)
    assert await why(rows, client) == "later/busy: All slots of 1 worker that could run it are in use."

    await rows.worker("node-2", slots=4, cpus=4.0)
    (running,) = await rows.tasks(await rows.job(), ["running"], cpus=3.0)
    await rows.attempt(running, "node-2")
    assert await why(rows, client, cpus=2.0) == (
        "later/resources: 1 worker with free slots could run it, but has not 1 slot, 2 cpus left; 1 task comes first."
    )


async def test_a_task_that_is_next_is_told_from_one_that_others_come_before(
    rows: Rows, client: AsyncFarmhandClient
) -> None:
    await rows.worker(slots=1)
    first, second = await rows.tasks(await rows.job(), ["ready", "ready"])

    assert (await client.why_task(first)).main.code == "next_pass"
    assert (await client.why_task(second)).main.code == "priority"
    assert {one.code for one in (await client.why_task(second)).reasons} == {"priority"}


async def test_a_job_tells_each_sort_of_its_tasks_once(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker()
    job = await rows.job("shot")
    frames = await rows.tasks(job, ["completed", "ready", "ready", "ready"], queue="gpu")
    (running,) = await rows.tasks(job, ["running"], name="one")
    await rows.attempt(running)
    (late,) = await rows.tasks(job, ["scheduled"], name="late")

    found = await client.why_job(job)

    parts = sorted((one.task, one.tasks, one.main.code) for one in found.parts)
    assert parts == [(frames[1], 3, "no_queue"), (running, 1, "running"), (late, 1, "backoff")]
    assert (await client.job(job)).waiting[0].sentence == "No worker serves queue gpu."
    with pytest.raises(FarmhandError, match="there is no job 999"):
        await client.why_job(999)
    with pytest.raises(FarmhandError, match="there is no task 999"):
        await client.why_task(999)


async def test_a_task_that_waits_for_others_is_told_that_nobody_could_run_it_then(
    rows: Rows, client: AsyncFarmhandClient
) -> None:
    await rows.worker(duty="asleep")
    (blocked,) = await rows.tasks(await rows.job(), ["blocked"], kind="nuke")

    assert [one.code for one in (await client.why_task(blocked)).reasons] == ["dependency", "no_kind"]


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


async def test_the_workers_that_assignment_loads_are_those_that_take_work(rows: Rows, pool: asyncpg.Pool) -> None:
    number = 0
    for connection in ("online", "suspect", "lost", "offline"):
        for duty in ("awake", "asleep", "draining", "error", "testing", "starting", "quarantined"):
            for asked in (None, "awake", "drain"):
                number += 1
                await rows.worker(f"node-{number}", connection=connection, duty=duty, requested_state=asked)
    async with pool.acquire() as held, held.transaction():
        tx, _ = (await Snapshot.of(held, Caches())).transaction()
        loaded = {worker.id for worker, _ in await tx.workers_with_load(None)}
        everyone = [rows_of.worker(row) for row in await held.fetch(WHY["everyone"])]

    assert loaded == {worker.id for worker in everyone if takes_work(worker)}


async def test_capacity_names_what_is_missing_and_who_is_not_needed(rows: Rows, client: AsyncFarmhandClient) -> None:
    await rows.worker("busy", slots=2)
    await rows.worker("idle", queues=["other"])
    await rows.worker("used", queues=["other"])
    await rows.execute("UPDATE worker_liveness SET open_sessions = 1 WHERE worker_id = 'used'")
    await rows.worker("needed", kinds=["nuke"])
    await rows.worker("sleepy", slots=2, duty="asleep")
    job = await rows.job()
    (running,) = await rows.tasks(job, ["running"])
    await rows.attempt(running, "busy")
    await rows.tasks(job, ["ready"] * 6, name="frames")
    await rows.tasks(job, ["blocked"], name="join", kind="nuke")

    found = await client.capacity()

    (wanted,) = found.wanted
    assert (wanted.queue, wanted.kind, wanted.waiting, wanted.starting) == ("default", "exec", 6, 1)
    assert (wanted.per_worker, wanted.workers, wanted.capable, wanted.asleep) == (2, 3, 2, ["sleepy"])
    assert found.stoppable == ["idle"]
