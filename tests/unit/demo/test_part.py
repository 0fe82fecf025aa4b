"""Processes of a farm: ended with all that they started, and never silent about why."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from coordinator.local.part import Part
from tests.support.processes import is_gone

Maker = Callable[[str], Part]

#: Starts a child that ignores SIGTERM, says its pid into the pipe, and waits for ever.
WITH_A_CHILD = """
import signal, subprocess, sys
deaf = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
child = subprocess.Popen([sys.executable, "-S", "-c", deaf])
open({pipe!r}, "w").write(str(child.pid))
signal.pause()
"""
DEAF = """
import signal
signal.signal(15, signal.SIG_IGN)
open({pipe!r}, "w").write("I do not listen")
signal.pause()
"""


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """Where a part says that it is ready; reading waits for it."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


@pytest.fixture
def a_part(tmp_path: Path) -> Iterator[Maker]:
    made: list[Part] = []

    def make(code: str) -> Part:
        part = Part(f"part-{len(made)}", [sys.executable, "-S", "-c", code], {}, tmp_path)
        made.append(part)
        return part

    yield make
    for part in made:
        part.kill()


async def said_into(pipe: Path) -> str:
    return await asyncio.to_thread(pipe.read_text)


async def test_its_end_is_noticed(a_part: Maker) -> None:
    part = a_part("raise SystemExit(7)")
    part.start()
    await part.ended()
    assert not part.running
    assert part.exit_code == 7


async def test_what_was_never_started_has_ended(a_part: Maker) -> None:
    part = a_part("import signal; signal.pause()")
    await part.ended()
    await part.stop()
    assert part.pid is None
    assert part.exit_code is None


async def test_stopping_takes_along_what_it_started(a_part: Maker, pipe: Path) -> None:
    part = a_part(WITH_A_CHILD.format(pipe=str(pipe)))
    part.start()
    child = psutil.Process(int(await said_into(pipe)))
    await part.stop()
    assert part.exit_code == -signal.SIGTERM
    assert is_gone(child)


async def test_who_does_not_want_to_end_is_made_to(a_part: Maker, pipe: Path) -> None:
    part = a_part(DEAF.format(pipe=str(pipe)))
    part.start()
    await said_into(pipe)
    await part.stop(timeout_s=0.05)
    assert part.exit_code == -signal.SIGKILL


async def test_a_power_cut_takes_along_what_it_started(a_part: Maker, pipe: Path) -> None:
    part = a_part(WITH_A_CHILD.format(pipe=str(pipe)))
    part.start()
    child = psutil.Process(int(await said_into(pipe)))
    part.kill()
    assert part.exit_code == -signal.SIGKILL
    assert is_gone(child)


async def test_orphans_that_were_left_running_end_with_the_farm(a_part: Maker, pipe: Path) -> None:
    part = a_part(WITH_A_CHILD.format(pipe=str(pipe)))
    part.start()
    child = psutil.Process(int(await said_into(pipe)))
    part.kill(with_tasks=False)
    assert not part.running
    assert not is_gone(child)
    await part.stop()
    assert is_gone(child)


async def test_a_failure_quotes_the_last_words(a_part: Maker) -> None:
    part = a_part("for number in range(9): print('line', number)")
    part.start()
    await part.ended()
    said = str(part.failure("ended while starting")).splitlines()
    assert said[0] == "part-0 ended while starting; the end of its log:"
    assert [line.strip() for line in said[1:]] == [f"line {number}" for number in range(4, 9)]


async def test_the_log_of_the_life_before_is_kept(a_part: Maker) -> None:
    part = a_part("import os; print(os.getpid())")
    for _ in range(2):
        part.start()
        await part.ended()
    before = part.log.with_suffix(".log.1").read_text()
    assert before != part.log.read_text()
    assert before.strip().isdigit()
