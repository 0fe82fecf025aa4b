"""Retention: what is finished long ago goes, in slices, and one row stays."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.api.blobs import SHELVES, Blobs
from coordinator.domain.job import JOB_FINISHED, Job, JobState
from coordinator.domain.retention import may_archive
from coordinator.duties.retention import LOOK, Retention
from coordinator.operations.changes import KeepJob
from coordinator.operations.inbox import Inbox
from coordinator.operations.requests import CancelJob, ConflictError, NotFoundError, RequeueFailed
from coordinator.operations.retention import ArchiveJob
from coordinator.storage.archive import PostgresArchive
from coordinator.storage.views import Views
from schemas.task import OutputFile, Verdict
from tests.support.farm import Farm, running
from tests.support.pool import pooled
from tests.support.wire import WireWorker

LATER = """CREATE OR REPLACE FUNCTION farm_now() RETURNS timestamptz LANGUAGE sql VOLATILE
           AS $$ SELECT clock_timestamp() + interval '{} days' $$"""


async def forget(_: Collection[str]) -> None:
    """There are no copies."""


async def completed(farm: Farm, worker: WireWorker, **job: Any) -> int:
    """A job of one task that is completed."""
    done = await farm.submit({}, **job)
    attempt = await worker.assigned()
    digest = "0" * 64
    await worker.finish(attempt, result={"n": 1}, outputs=[OutputFile(name="a.txt", size=1, digest=digest)], run_s=2.5)
    await worker.verdict(attempt)
    return done.job


async def test_an_old_job_is_archived_and_removed_and_still_shown(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        old = await completed(farm, worker, name="old", key="k")
        kept = await completed(farm, worker, name="kept", keep=True)
    waiting = await farm.submit({"array": {"count": 3}}, name="waiting")

    async with pooled(farm.database_url) as pool:
        archive = PostgresArchive(pool)
        assert (await archive.old_jobs(90), await archive.old_jobs(-1)) == ([], [old])
        await farm.rows(LATER.format(91))
        await farm.until("SELECT NOT EXISTS (SELECT FROM jobs WHERE id = $1)", old, within_s=50)
        assert not await archive.remove_slice(forget)
        views = Views(pool)
        shown = await views.job(old)
        assert (shown.name, shown.state, shown.archived_by) == ("old", "completed", "retention")
        assert shown.counts.completed == 1
        assert shown.parts[0].name == "task"
        with pytest.raises(NotFoundError, match=f"job {old} was archived by retention: its tasks are gone"):
            await views.tasks(old)
        story = [entry.event for entry in (await views.story_of_job(old)).items]
        assert story[-1] == "job.archived"
    left = await farm.rows("SELECT id FROM jobs ORDER BY id")
    assert [row["id"] for row in left] == [kept, waiting.job]
    for table in ("attempts", "outputs"):
        assert (await farm.rows(f"SELECT count(*) FROM {table} WHERE task_id = 1"))[0][0] == 0, table
    summary = (await farm.rows("SELECT summary FROM archives"))[0]["summary"]
    assert '"run_s": 2.5' in summary


async def test_a_report_about_a_removed_task_is_superseded(farm: Farm) -> None:
    async with WireWorker(farm.amqp_url, "node-1") as worker:
        await worker.online()
        job = await farm.submit({})
        attempt = await worker.assigned()
        with pytest.raises(ConflictError, match="active: only finished jobs can be archived"):
            await farm.desk.ask(ArchiveJob(job.job, "ana"))
        await worker.finish(attempt)
        assert await worker.verdict(attempt) is Verdict.ACCEPTED

        await farm.desk.ask(ArchiveJob(job.job, "ana", "secret"))
        await farm.until("SELECT count(*) = 0 FROM tasks")
        await worker.finish(attempt)
        assert await worker.verdict(attempt) is Verdict.SUPERSEDED
    with pytest.raises(NotFoundError):
        await farm.desk.ask(RequeueFailed(job.job, "ana"))
    said = await farm.rows("SELECT archived_by, reason FROM archives")
    assert [tuple(row) for row in said] == [("ana", "secret")]


async def test_a_large_job_goes_in_slices_while_two_remove_it(farm: Farm) -> None:
    job = await farm.submit({"array": {"count": 6000}}, {"name": "last", "after": ["task"]})
    await farm.until("SELECT expanded = total FROM jobs")
    await farm.desk.ask(CancelJob(job.job, "ana"))
    await farm.until("SELECT state = 'canceled' FROM jobs")
    await farm.desk.ask(KeepJob(job.job, "ana"))
    with pytest.raises(ConflictError, match="is kept"):
        await farm.desk.ask(ArchiveJob(job.job, "ana"))
    await farm.desk.ask(KeepJob(job.job, "ana", keep=False))

    await farm.desk.ask(ArchiveJob(job.job, "ana"))
    async with pooled(farm.database_url) as pool, running(farm.database_url, farm.amqp_url):
        await asyncio.gather(*(PostgresArchive(pool).remove_slice(forget) for _ in range(2)))
        await farm.until("SELECT count(*) = 0 FROM jobs")
    for table in ("tasks", "dependencies", "specs", "groups"):
        assert (await farm.rows(f"SELECT count(*) FROM {table}"))[0][0] == 0, table


async def test_a_copy_that_no_output_has_any_more_goes_and_others_stay(farm: Farm, tmp_path: Path) -> None:
    blobs = Blobs(tmp_path)

    async def put(words: bytes, *, old: bool) -> str:
        async def pieces() -> AsyncIterator[bytes]:
            yield words

        digest = hashlib.sha256(words).hexdigest()
        await blobs.receive(pieces(), digest, len(words))
        if old:
            os.utime(blobs.path(digest), (1.0, 1.0))
        return digest

    named, replaced = await put(b"newest", old=True), await put(b"replaced", old=True)
    coming = await put(b"its row is on its way", old=False)
    for digest in (replaced, named):
        await farm.rows(
            "INSERT INTO outputs (task_id, attempt, name, size, digest, stored) VALUES (1, 1, 'last.jpg', 6, $1, true)"
            " ON CONFLICT (task_id, attempt, name) DO UPDATE SET digest = excluded.digest",
            digest,
        )
    async with pooled(farm.database_url) as pool:
        keeper = Retention(Inbox(), PostgresArchive(pool), blobs, shelves=SHELVES, job_days=0, archive_days=0)
        for shelf in range(SHELVES):
            await keeper.tidy(shelf)
    assert [blobs.path(one).exists() for one in (named, replaced, coming)] == [True, False, True]


async def test_old_history_of_what_is_gone_goes_a_thousand_rows_at_a_time_and_the_rest_stays(
    database_url: str, amqp_url: str
) -> None:
    """Each call looks at as much, whatever is kept, and the next one goes on after it."""
    async with running(database_url, amqp_url) as farm:
        job = await farm.submit({})
    # Nobody else removes any.
    await farm.rows(
        """INSERT INTO history (at, event, job_id, task_id)
           SELECT farm_now() - interval '400 days', 'old', $1 + n % 2, CASE WHEN n % 2 = 1 THEN 1000 + n END
             FROM generate_series(1, 2500) AS n UNION ALL SELECT farm_now(), 'new', NULL, 1000""",
        job.job,
    )
    async with pooled(farm.database_url) as pool:
        archive = PostgresArchive(pool)
        rounds = 1
        while await archive.remove_history(365):
            rounds += 1
    assert rounds == 3
    left = await farm.rows("SELECT event, count(*) FROM history WHERE event IN ('old', 'new') GROUP BY 1 ORDER BY 1")
    assert [tuple(row) for row in left] == [("new", 1), ("old", 1250)]


async def test_logs_of_days_that_are_over_go_with_their_days_and_no_late_one_stays_behind(farm: Farm) -> None:
    ear = "INSERT INTO logs SELECT (farm_now() AT TIME ZONE 'UTC')::date - $1::integer, 1, 1, 0, 'text'"
    for days in (0, 40):
        await farm.rows(ear, days)
    await farm.rows(LATER.format(4))
    await farm.rows("SELECT keep_log_partitions(3, 30)")
    assert [tuple(row) for row in await farm.rows("SELECT tableoid::regclass::text = 'logs_default' FROM logs")] == [
        (False,)
    ]
    await farm.rows(ear, 0)
    await farm.rows(LATER.format(33))
    await farm.rows("SELECT keep_log_partitions(3, 30)")
    assert (await farm.rows("SELECT count(*) FROM logs"))[0][0] == 1


class Backlog:
    """An archive with so much to remove."""

    def __init__(self, *, jobs: int, slices: int, history: int) -> None:
        self.jobs, self.slices, self.history = jobs, slices, history

    async def old_jobs(self, _: int) -> list[int]:
        self.jobs -= 1
        return [1] if self.jobs >= 0 else []

    async def remove_slice(self, _: Any) -> bool:
        self.slices -= 1
        return self.slices >= 0

    async def remove_history(self, _: int) -> bool:
        self.history -= 1
        return self.history >= 0

    async def unnamed(self, _: Collection[str]) -> list[str]:
        return []


async def test_what_finds_something_goes_on_in_the_next_round(tmp_path: Path) -> None:
    """Else a farm of many tasks a day would make more than is ever removed."""
    inbox, backlog = Inbox(), Backlog(jobs=10, slices=50, history=50)
    duty = Retention(inbox, backlog, Blobs(tmp_path), shelves=SHELVES, job_days=1, archive_days=1)
    for _ in range(10):
        await duty.keep()
        await inbox.take(100)
    assert (backlog.jobs, backlog.slices, backlog.history) == (0, 0, 0)
    for _ in range(LOOK):
        await duty.keep()
    assert (backlog.jobs, backlog.history) == (-1, -1), "when there was nothing, it looks again later"


@given(
    state=st.sampled_from(JobState),
    keep=st.booleans(),
    stopping=st.integers(0, 2),
    schedule=st.none() | st.just("nightly"),
    archived=st.none() | st.just(datetime(2026, 1, 1, tzinfo=UTC)),
)
def test_only_what_is_finished_and_not_held_on_to_may_go(
    *, state: JobState, keep: bool, stopping: int, schedule: str | None, archived: datetime | None
) -> None:
    job = Job(7, 50, state, 1, 1, 1, archived_at=archived)
    said = may_archive(job, keep=keep, stopping=stopping, schedule=schedule)
    free = state in JOB_FINISHED and not keep and not stopping and schedule is None and archived is None
    assert (said is None) is free
    assert said is None or "job 7" in said
