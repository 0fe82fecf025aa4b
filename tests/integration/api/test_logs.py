"""Logs: whole, in pieces, while they grow, and when they were cut."""

from datetime import UTC, datetime, timedelta

import asyncpg
import httpx
import pytest

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.operations.store import LogChunk
from coordinator.storage.ear import PostgresEar
from tests.integration.api.rows import Rows


@pytest.fixture
async def task(rows: Rows) -> int:
    """A task that runs."""
    (task,) = await rows.tasks(await rows.job(), ["running"])
    await rows.attempt(task)
    return task


async def test_a_log_is_its_chunks_in_order(rows: Rows, client: AsyncFarmhandClient, task: int) -> None:
    await rows.log(task, *((number, f"line {number}\n") for number in reversed(range(100))))

    part = await client.log(task)

    assert part.text == "".join(f"line {number}\n" for number in range(100))
    assert (part.attempt, part.last, part.live) == (1, 99, True)


async def test_a_reader_goes_on_where_it_was(rows: Rows, client: AsyncFarmhandClient, task: int) -> None:
    await rows.log(task, (0, "a"), (1, "b"))
    first = await client.log(task)
    nothing = await client.log(task, after=first.last)
    await rows.log(task, (2, "c"))
    rest = await client.log(task, after=first.last)

    assert (first.text, nothing.text, nothing.last, rest.text) == ("ab", "", 1, "c")


async def test_a_settled_part_ends_before_a_missing_chunk_while_the_attempt_lives(
    rows: Rows, client: AsyncFarmhandClient, task: int
) -> None:
    await rows.log(task, (0, "a"), (1, "b"), (3, "d"))

    settled = await client.log(task, settled=True)
    whole = await client.log(task)
    stuck = await client.log(task, after=1, settled=True)
    await rows.execute("UPDATE attempts SET state = 'ended', ending = 'failed', ended_at = now()")
    ended = await client.log(task, after=1, settled=True)

    assert (settled.text, settled.last) == ("ab", 1)
    assert (whole.text, whole.last) == ("abd", 3)
    assert (stuck.text, stuck.last, stuck.live) == ("", 1, True)
    assert (ended.text, ended.last, ended.live) == ("d", 3, False)


async def test_a_follower_gets_everything_and_ends_with_the_attempt(
    rows: Rows, client: AsyncFarmhandClient, task: int
) -> None:
    await rows.log(task, (0, "a"), (2, "c"))
    got = []
    async for part in client.follow_log(task, every_s=0):
        got.append(part.text)
        if part.text == "a":
            await rows.log(task, (1, "b"))
        if part.text == "bc":
            await rows.log(task, (3, "d"))
            await rows.execute("UPDATE attempts SET state = 'ended', ending = 'failed', ended_at = now()")

    assert "".join(got) == "abcd"


async def test_a_chunk_that_never_comes_does_not_hold_up_a_follower_for_ever(
    rows: Rows, client: AsyncFarmhandClient, task: int
) -> None:
    await rows.log(task, (0, "a"), (2, "c"))
    async for part in client.follow_log(task, every_s=0):
        if part.text == "c":
            break


async def test_the_newest_attempt_is_shown_unless_another_is_named(
    rows: Rows, client: AsyncFarmhandClient, task: int
) -> None:
    await rows.execute("UPDATE attempts SET state = 'ended', ending = 'failed', ended_at = now()")
    await rows.attempt(task, attempt=2)
    await rows.log(task, (0, "old"))
    await rows.log(task, (0, "new"), attempt=2)

    assert (await client.log(task)).text == "new"
    assert (await client.log(task, attempt=1)).text == "old"
    with pytest.raises(FarmhandError, match="has no attempt 3"):
        await client.log(task, attempt=3)


async def test_a_log_that_was_cut_says_so_at_its_end(rows: Rows, client: AsyncFarmhandClient, task: int) -> None:
    await rows.log(task, (0, "a\n"))
    await rows.insert("log_sizes", task_id=task, attempt=1, bytes=1, truncated=True)
    await rows.execute("UPDATE attempts SET state = 'ended', ending = 'failed', ended_at = now()")

    assert (await client.log(task)).text == "a\n\n[the log goes on, but no more of it was kept]\n"


async def test_a_task_without_an_attempt_has_an_empty_log(rows: Rows, client: AsyncFarmhandClient) -> None:
    (task,) = await rows.tasks(await rows.job(), ["ready"])

    part = await client.log(task)

    assert (part.text, part.attempt, part.live) == ("", 0, True)


async def test_a_browser_is_told_that_a_log_is_plain_text(http: httpx.AsyncClient, task: int) -> None:
    answer = await http.get(f"tasks/{task}/log")

    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def said(rows: Rows, ear: PostgresEar, task: int, *chunks: tuple[int, str]) -> int | None:
    """Hear chunks of *task*'s log; the size that is known of it then."""
    day = datetime.now(UTC).date()
    await ear.log([("node-1", LogChunk(day, task, 1, chunk, text)) for chunk, text in chunks])
    found = await rows.fetchrow("SELECT bytes FROM log_sizes WHERE task_id = $1", task)
    return None if found is None else int(found[0])


async def test_a_log_of_one_chunk_leaves_no_size_and_one_that_goes_on_counts_it(rows: Rows, pool: asyncpg.Pool) -> None:
    ear, now = PostgresEar(pool), datetime.now(UTC)
    short, long, late, watched, whole = await rows.tasks(await rows.job(), ["running"] * 5)
    for task in (short, long, whole):
        await rows.attempt(task, assigned_at=now)
    await rows.attempt(late, assigned_at=now - timedelta(seconds=11))
    await rows.attempt(watched, assigned_at=now, look_at=now)

    assert await said(rows, ear, short, (0, "four")) is None
    assert await said(rows, ear, short, (0, "four")) is None, "again: each is kept once"
    assert await said(rows, ear, long, (0, "four")) is None
    assert await said(rows, ear, long, (1, "seven 7")) == 11
    assert await said(rows, ear, long, (1, "seven 7"), (2, "8")) == 12
    assert await said(rows, ear, whole, (0, "four"), (1, "seven 7")) == 11
    assert await said(rows, ear, late, (0, "four")) == 4, "when it was said is not when it began"
    assert await said(rows, ear, watched, (0, "four")) == 4, "its silence is counted"
