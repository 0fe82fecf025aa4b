"""What the API tells of failures, and what it hands on."""

from datetime import UTC, datetime, timedelta

import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.operations.requests import UnblockWorkers
from tests.integration.api.conftest import Inbox
from tests.integration.api.rows import Rows


async def _mark(
    rows: Rows, job: int, worker: str, failures: int, *, minutes: int = 0, blocked: bool = True
) -> datetime:
    """Note failures of *worker*, the last so many *minutes* ago: when that was."""
    at = datetime.now(UTC) - timedelta(minutes=minutes)
    await rows.insert("blocklist", job_id=job, kind="exec", worker_id=worker, failures=failures, failed_at=at,
                      blocked_at=at if blocked else None)  # fmt: skip
    return at


async def test_the_blocklist_of_a_job_names_those_that_are_blocked(rows: Rows, client: AsyncFarmhandClient) -> None:
    job = await rows.job()
    for name in ("node-1", "node-2"):
        await rows.worker(name)
    at = await _mark(rows, job, "node-1", 3)
    await _mark(rows, job, "node-2", 2, blocked=False)

    (found,) = await client.blocklist(job)

    assert (found.worker, found.kind, found.failures, found.blocked_at) == ("node-1", "exec", 3, at)
    with pytest.raises(FarmhandError, match="no job 99"):
        await client.blocklist(99)


async def test_a_wish_to_unblock_is_handed_on_with_who_and_why(client: AsyncFarmhandClient, inbox: Inbox) -> None:
    await client.unblock_workers(7, ["node-1"], kind="exec", reason="plugin installed")

    assert inbox.asked == [UnblockWorkers(7, "ana@desk", ("node-1",), "exec", "plugin installed")]
    with pytest.raises(FarmhandError, match=r"workers\.0"):
        await client.unblock_workers(7, ["Not A Name"])


async def test_a_job_says_what_its_submitter_decided_about_failure(rows: Rows, client: AsyncFarmhandClient) -> None:
    plain = await client.job(await rows.job())
    fast = await client.job(await rows.job(policy={"fail_share": 0.0, "late_results": "accept"}))
    share = await client.job(await rows.job(policy={"fail_share": 0.25, "max_losses": 2}))

    assert (plain.on_failure, plain.late_results, plain.max_losses) == ("continue", "reject", 5)
    assert (fast.on_failure, fast.late_results) == ("fail_fast", "accept")
    assert (share.on_failure, share.max_losses) == ("fails at 0.25 of its tasks", 2)


async def test_a_workers_health_is_told_by_jobs_and_fades_with_time(rows: Rows, client: AsyncFarmhandClient) -> None:
    for name in ("node-1", "node-2"):
        await rows.worker(name)
    for minutes in (0, 60):
        await _mark(rows, await rows.job(), "node-1", 3, minutes=minutes)
    await rows.insert("history", at=datetime.now(UTC), event="task.completed", job_id=99, task_id=1, worker_id="node-1")

    sick, well = await client.worker("node-1"), await client.worker("node-2")

    assert sick.failing_jobs == 2
    assert 0.55 < sick.health < 0.65
    assert (well.failing_jobs, well.health) == (0, 1.0)


async def test_why_names_the_workers_that_are_blocked_and_how_to_unblock_them(
    rows: Rows, client: AsyncFarmhandClient
) -> None:
    for name in ("node-1", "node-2", "node-3"):
        await rows.worker(name, slots=1)
    await rows.execute("UPDATE workers SET duty = 'quarantined' WHERE id = 'node-3'")
    job = await rows.job(blocklisted=1)
    waiting, running = await rows.tasks(job, ["ready", "running"])
    await rows.attempt(running, "node-2")
    await _mark(rows, job, "node-1", 3)

    found = await client.why_task(waiting)

    reasons = {one.code: (one.sentence, one.remedy) for one in found.reasons}
    assert set(reasons) == {"quarantined", "blocked", "busy"}
    assert reasons["blocked"] == (
        f"1 worker (node-1) is blocked: too many tasks of this kind in job {job} failed there.",
        f"farmhand jobs unblock {job} node-1",
    )
    assert reasons["quarantined"][1] == "farmhand workers wake node-3"


async def test_why_tells_until_when_a_failed_task_waits(rows: Rows, client: AsyncFarmhandClient) -> None:
    (task,) = await rows.tasks(await rows.job(), ["scheduled"])
    await rows.execute("UPDATE tasks SET reason = 'retry 1 of 3: exit code 11', not_before = farm_now() + '40 s'")

    found = await client.why_task(task)

    assert found.main.code == "backoff"
    assert found.main.sentence in [
        f"Failed 1 time; tries again in {seconds} s (retry 1 of 3: exit code 11)." for seconds in range(30, 41)
    ]
