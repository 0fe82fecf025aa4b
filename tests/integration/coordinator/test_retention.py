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
from coordinator.duties.retention import Retention
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

    await farm.rows(LATER.format(91))
    async with pooled(farm.database_url) as pool:
        archive = PostgresArchive(pool)
        assert await archive.old_jobs(90) == [old]
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
