"""The spool: first in, first out, over a death, within bounds."""
# ruff: noqa: ASYNC240 - looking at a directory is quick

from pathlib import Path

from worker_agent.spool import MEMORY_BYTES, Spool

MOST = 62 * 1024


def events(first: int, count: int, size: int = 100) -> list[bytes]:
    return [b'{"n":%d,"x":"%s"}' % (number, b"x" * size) for number in range(first, first + count)]


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


async def test_a_full_spool_drops_what_comes_and_counts_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit=2 * MEMORY_BYTES)
    everything = events(0, 4_000, 1000)
    for start in range(0, 4_000, 100):
        spool.put(everything[start : start + 100])
    assert spool.dropped > 0
    kept = await drain(spool)
    assert len(kept) == 4_000 - spool.dropped
    assert kept == sorted(kept, key=everything.index)


async def test_a_disk_that_takes_nothing_costs_logs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file where the directory should be")
    spool = Spool(tmp_path / "spool")
    spool.put(events(0, 5))
    spool.store()
    assert spool.dropped == 5
    spool.put(events(5, 1))
    assert await drain(spool) == events(5, 1)
