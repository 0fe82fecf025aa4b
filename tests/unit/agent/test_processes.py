"""Processes of a former life are found and ended; others are left alone."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.support.processes import is_gone
from worker_agent.journal import ProcessRow
from worker_agent.processes import MARK, boot_id, end_orphans, started_at

Spawn = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Starts sleepers; whatever is left of them is ended with the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str = "import signal; signal.pause()", **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", f"print(flush=True); {code}"],
            env=environment,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def row(process: subprocess.Popen[bytes], *, later_s: float = 0.0, boot: str | None = None) -> ProcessRow:
    return ProcessRow(1, 1, process.pid, started_at(process.pid) + later_s, boot or boot_id())


def test_a_process_of_the_journal_is_ended(spawn: Spawn) -> None:
    process = spawn()
    assert end_orphans([row(process)], "some mark").ended == 1
    assert process.wait(10) != 0


def test_a_process_that_ignores_sigterm_is_killed(spawn: Spawn) -> None:
    process = spawn("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()")
    assert process.stdout is not None
    process.stdout.readline()
    assert end_orphans([row(process)], "some mark").ended == 1
    assert process.wait(10) == -9


def test_a_process_that_only_has_the_number_of_an_old_one_is_left_alone(spawn: Spawn) -> None:
    process = spawn()
    rows = [row(process, later_s=5.0), row(process, boot="an earlier start of the machine")]
    assert end_orphans(rows, "some mark").ended == 0
    assert process.poll() is None


def test_a_process_that_the_journal_missed_is_known_by_its_mark(spawn: Spawn) -> None:
    ours, other = spawn(**{MARK: "our mark"}), spawn(**{MARK: "another mark"})
    assert end_orphans([], "our mark").ended == 1
    assert ours.wait(10) != 0
    assert other.poll() is None


def test_children_of_an_orphan_are_ended_with_it(spawn: Spawn) -> None:
    process = spawn(
        "import subprocess,sys,time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'], start_new_session=True)\n"
        "print(child.pid, flush=True); import signal; signal.pause()"
    )
    assert process.stdout is not None
    child = psutil.Process(int(process.stdout.readline()))
    assert end_orphans([row(process)], "some mark").ended == 2
    assert is_gone(child)


def test_a_process_that_is_gone_is_no_orphan(spawn: Spawn) -> None:
    process = spawn("pass")
    old = row(process)
    process.wait()
    assert end_orphans([old], "some mark").ended == 0
