"""The spool: first in, first out, over a death, within bounds."""
# ruff: noqa: ASYNC240 - looking at a directory is quick

from datetime import date
from pathlib import Path

from schemas.task import TaskLog
from worker_agent.spool import DROPPED, MEMORY_BYTES, Spool

MOST = 62 * 1024


def events(first: int, count: int, size: int = 100, task: int = 1) -> list[bytes]:
    return [a_chunk(task, number, "x" * size) for number in range(first, first + count)]


def a_chunk(task: int, number: int, text: str) -> bytes:
    return TaskLog(task=task, attempt=1, chunk=number, day=date(2026, 1, 1), text=text).model_dump_json().encode()


async def drain(spool: Spool) -> list[bytes]:
    taken = []
    while spool:
        taken += await spool.take(MOST)
        spool.done()
    return taken


async def test_what_flows_does_not_touch_the_disk(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.put(events(0, 10))
    assert await drain(spool) == events(0, 10)
    assert not (tmp_path / "spool").exists()
    await spool.empty()


async def test_what_was_taken_and_not_confirmed_is_taken_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(events(0, 3))
    first = list(await spool.take(MOST))
    assert await spool.take(MOST) == first
    spool.keep()
    spool.put(events(3, 2))
    assert await drain(spool) == events(0, 5)


async def test_much_waits_in_files_and_comes_out_in_order(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    everything = events(0, 10_000, 600)
    for start in range(0, 10_000, 500):
        spool.put(everything[start : start + 500])
    assert len(list(tmp_path.glob("*.log"))) > 1
    assert await drain(spool) == everything
    assert list(tmp_path.glob("*.log")) == []


async def test_the_next_life_sends_what_was_kept(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(events(0, 5))
    await spool.take(MOST)
    spool.keep()
    (path,) = tmp_path.glob("*.log")
    with path.open("ab") as file:
        file.write(b'{"cut by the death of the ag')
    spool = Spool(tmp_path)
    spool.put(events(5, 1))
    assert await drain(spool) == events(0, 6)


async def test_a_full_spool_drops_what_comes_and_each_log_says_where(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit=2 * MEMORY_BYTES)
    everything = [event for number in range(2_000) for task in (1, 2) for event in events(number, 1, 1000, task)]
    for start in range(0, 4_000, 100):
        spool.put(everything[start : start + 100])
        assert sum(path.stat().st_size for path in tmp_path.glob("*.log")) <= 2 * MEMORY_BYTES
    assert spool.dropped > 0
    kept = [TaskLog.model_validate_json(event) for event in await drain(spool)]
    marks = [one for one in kept if one.text == DROPPED]
    assert [one.task for one in marks] == [1, 2]
    assert len(kept) - len(marks) == 4_000 - spool.dropped
    for task, mark in zip((1, 2), marks, strict=True):
        before = [one.chunk for one in kept if one.task == task and one.chunk < mark.chunk]
        assert before == list(range(mark.chunk)), "the line stands where the log ends"


async def test_a_disk_that_takes_nothing_costs_logs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the directory should be")
    spool = Spool(tmp_path / "spool")
    spool.put(events(0, 5))
    spool.store()
    assert spool.dropped == 5
    spool.put(events(5, 1))
    assert await drain(spool) == [a_chunk(1, 0, DROPPED), *events(5, 1)]
