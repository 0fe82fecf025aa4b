"""Children: what they inherit, and how they end. Real processes of this machine's own Python."""

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from coordinator.local.errors import LocalServiceError
from coordinator.local.processes import Child, Program, run
from tests.support.processes import is_gone


def _python(tmp_path: Path, code: str) -> Program:
    environment = {"PATH": os.environ["PATH"]}
    return Program("a program", [sys.executable, "-S", "-c", code], environment, tmp_path / "log")


def test_a_failure_is_told_in_one_line_with_the_last_words(tmp_path: Path) -> None:
    with pytest.raises(LocalServiceError) as failure:
        run(_python(tmp_path, "print('first'); print('the disk is full'); raise SystemExit(3)"))
    assert str(failure.value) == f"a program failed with status 3: the disk is full (log: {tmp_path / 'log'})"


def test_input_reaches_the_program(tmp_path: Path) -> None:
    run(_python(tmp_path, "import sys; print(sys.stdin.read().upper())"), "hello")
    assert (tmp_path / "log").read_text() == "HELLO\n"


def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(LocalServiceError, match=r"was not done after 0 s: it said nothing"):
        run(_python(tmp_path, "import signal; signal.pause()"), timeout_s=0.01)


def test_a_child_has_an_environment_session_and_file_limit_of_its_own(tmp_path: Path) -> None:
    code = "import os, resource as r; print(sorted(os.environ), os.getsid(0) == os.getpid(), *r.getrlimit(7))"
    run(_python(tmp_path, code))
    words = (tmp_path / "log").read_text()
    assert words.startswith(("['PATH'] True ", "['LC_CTYPE', 'PATH'] True "))
    soft, hard = map(int, words.split()[-2:])
    assert soft == min(hard, 65_536)


def test_stopping_asks_first_and_insists_then(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', file=open('fifo', 'w')); "
    os.mkfifo(tmp_path / "fifo")
    child = Child(_python(tmp_path, deaf + "signal.pause()"))
    assert (tmp_path / "fifo").read_text() == "deaf\n"
    child.stop(signal.SIGTERM, timeout_s=0.01)
    assert not child.running


def test_killing_ends_the_children_of_the_child_too(tmp_path: Path) -> None:
    family = """
import signal, subprocess, sys
inner = subprocess.Popen([sys.executable, '-S', '-c', 'import signal; signal.pause()'], start_new_session=True)
print(inner.pid, file=open('fifo', 'w'))
signal.pause()
"""
    os.mkfifo(tmp_path / "fifo")
    child = Child(_python(tmp_path, family))
    inner = psutil.Process(int((tmp_path / "fifo").read_text()))
    child.kill()
    assert not child.running
    assert is_gone(inner)


def test_the_end_of_a_child_is_noticed_while_waiting_for_its_sign(tmp_path: Path) -> None:
    child = Child(_python(tmp_path, "print('port taken'); raise SystemExit(1)"))
    reader, writer = os.pipe()
    assert child.ended_before(reader, 30)
    assert str(child.failure("ended while starting")).startswith("a program ended while starting: port taken")
    child.kill()
    os.close(reader)
    os.close(writer)


def test_a_sign_is_noticed_while_the_child_lives(tmp_path: Path) -> None:
    child = Child(_python(tmp_path, "import signal; signal.pause()"))
    reader, writer = os.pipe()
    os.write(writer, b"READY=1")
    assert not child.ended_before(reader, 30)
    os.read(reader, 7)
    with pytest.raises(LocalServiceError, match="was not ready after 0 s"):
        child.ended_before(reader, 0.01)
    child.kill()
    os.close(reader)
    os.close(writer)
