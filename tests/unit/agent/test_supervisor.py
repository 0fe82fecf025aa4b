"""The supervisor ends what it looks after in time, all of it, and leaves as the program did."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.processes import is_gone, wait_gone
from worker_agent import supervisor
from worker_agent.leases import boottime

LONG = 1e9
#: Says its pid and stays, whatever SIGTERM says.
STUBBORN = "import os, signal; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); signal.pause()"
#: Starts one that leaves the session and the family, and stays itself.
PARENT = (
    "import os, subprocess, sys, signal\n"
    "code = 'import os; os.setsid(); pid = os.fork(); print(os.getpid(), flush=True) if not pid else os._exit(0);'"
    " 'import signal; signal.pause()'\n"
    "subprocess.Popen([sys.executable, '-I', '-S', '-c', code]).wait()\n"
    "print(os.getpid(), flush=True)\n"
    "signal.pause()"
)


@dataclass
class Supervised:
    """A supervisor that was started, and the agent's end of its socket."""

    process: subprocess.Popen[bytes]
    agent: socket.socket

    def until(self, terminate_in_s: float, kill_in_s: float) -> None:
        now = boottime()
        self.agent.send(supervisor.FRAME.pack(now + terminate_in_s, now + kill_in_s))

    def pid(self) -> psutil.Process:
        """The next pid that the program prints."""
        assert self.process.stdout is not None
        return psutil.Process(int(self.process.stdout.readline()))

    def code(self) -> int:
        return self.process.wait(20)

    def over(self) -> bool:
        return self.agent.recv(1) == supervisor.OVER


Start = Callable[..., Supervised]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts Python code under a supervisor."""
    started: list[Supervised] = []

    def run(code: str, terminate_in_s: float = LONG, kill_in_s: float = LONG, place: str = "") -> Supervised:
        ours, theirs = socket.socketpair()
        now = boottime()
        ours.send(supervisor.FRAME.pack(now + terminate_in_s, now + kill_in_s))
        argv = [*("-I", "-S", supervisor.__file__, str(theirs.fileno()), place), sys.executable, "-I", "-S", "-c", code]
        process = subprocess.Popen(
            [sys.executable, *argv],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        started.append(Supervised(process, ours))
        return started[-1]

    yield run
    for one in started:
        one.agent.close()
        one.process.kill()
        one.process.communicate()


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os.kill(os.getpid(), 9)", -9),
        ("import os; os.abort()", -6),
    ],
)
def test_it_ends_as_the_program_did(start: Start, code: str, status: int) -> None:
    assert start(code).code() == status


def test_when_the_time_is_over_it_asks_first_and_says_so(start: Start) -> None:
    one = start("import os, signal; print(os.getpid(), flush=True); signal.pause()")
    one.pid()
    one.until(0, LONG)
    assert one.code() == -signal.SIGTERM
    assert one.over()


def test_what_does_not_listen_is_killed(start: Start) -> None:
    one = start(STUBBORN)
    program = one.pid()
    one.until(0, 0.2)
    assert one.code() == -signal.SIGKILL
    assert is_gone(program)


def test_a_stopped_program_is_killed(start: Start) -> None:
    one = start(STUBBORN)
    one.pid().suspend()
    one.until(0, 0.2)
    assert one.code() == -signal.SIGKILL


def test_what_has_left_the_session_and_the_family_is_killed_too(start: Start) -> None:
    one = start(PARENT)
    grandchild, program = one.pid(), one.pid()
    assert grandchild.ppid() == one.process.pid, "it was adopted"
    one.until(0, 0)
    assert one.code() == -signal.SIGTERM or one.process.returncode == -signal.SIGKILL
    assert is_gone(grandchild)
    assert is_gone(program)


def test_what_a_program_leaves_behind_ends_with_it(start: Start) -> None:
    one = start(PARENT.replace('signal.pause()"', '"').rpartition("\n")[0])
    grandchild, _ = one.pid(), one.pid()
    assert one.code() == 0
    assert is_gone(grandchild)


def test_a_renewal_gives_more_time_and_nothing_else_does(start: Start) -> None:
    one = start("import signal; print(1, flush=True); signal.pause()", 60, 60)
    one.process.stdout and one.process.stdout.readline()
    one.until(LONG, LONG)
    one.until(0, LONG)
    with suppress(BrokenPipeError):
        one.until(LONG, LONG)  # too late: it has begun to end, or has ended
    assert one.code() == -signal.SIGTERM


def test_a_program_whose_time_was_over_before_it_began_is_not_started(start: Start, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    one = start(f"open({str(mark)!r}, 'w')", -1, 0)
    assert one.code() == 0
    assert one.over()
    assert not mark.exists()


def test_when_the_agent_is_dead_the_program_is_ended_at_once(start: Start) -> None:
    one = start("import signal; print(1, flush=True); signal.pause()")
    one.process.stdout and one.process.stdout.readline()
    one.agent.close()
    assert one.code() == -signal.SIGTERM


def test_when_the_supervisor_is_killed_the_kernel_kills_the_program(start: Start) -> None:
    one = start(STUBBORN)
    program = one.pid()
    one.process.kill()
    assert program.wait(20) in (None, -signal.SIGKILL)


def test_what_is_stopped_together_with_its_supervisor_is_killed_at_the_end_of_the_lease(start: Start) -> None:
    # A stopped process can neither act nor go on: only the kernel ends these two.
    run = start(STUBBORN, 4.0, 4.2)  # within which it has begun, on a busy machine too
    program = run.pid()
    program.suspend()
    run.process.send_signal(signal.SIGSTOP)
    assert run.code() == -signal.SIGKILL
    wait_gone([program])


def test_a_program_that_cannot_be_started_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.send(supervisor.FRAME.pack(LONG, LONG))
        argv = [sys.executable, "-I", "-S", supervisor.__file__, str(theirs.fileno()), "", os.devnull]
        assert subprocess.run(argv, pass_fds=[theirs.fileno()], check=False).returncode == supervisor.CANNOT_START
    assert "Permission denied" in capfd.readouterr().err


def test_the_program_takes_its_place_and_its_supervisor_keeps_its_own(start: Start, tmp_path: Path) -> None:
    (tmp_path / "cgroup.procs").touch()
    before = os.nice(0), Path("/proc/self/oom_score_adj").read_text(), psutil.Process().ionice()
    one = start(
        "import os, signal; print(os.getpid(), flush=True); signal.pause()", place=f"{before[0] + 7},600,1,{tmp_path}"
    )
    program, its_supervisor = one.pid(), psutil.Process(one.process.pid)
    assert program.nice() == min(before[0] + 7, 19)
    assert Path(f"/proc/{program.pid}/oom_score_adj").read_text().strip() == "600"
    assert program.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    assert (tmp_path / "cgroup.procs").read_text() == "0", "it joins by itself, before it begins"
    assert its_supervisor.nice() == before[0]
    assert Path(f"/proc/{its_supervisor.pid}/oom_score_adj").read_text() == before[1]
    assert its_supervisor.ionice() == before[2]


def test_a_place_that_cannot_be_taken_is_said_and_the_program_runs(start: Start, tmp_path: Path) -> None:
    one = start("print('runs')", place=f"0,0,0,{tmp_path / 'missing'}")
    assert one.process.stdout is not None
    said = one.process.stdout.read().decode()
    assert said.startswith(f"[farmhand] unmet limit: memory, in {tmp_path / 'missing'} (")
    assert said.endswith("runs\n")
    assert one.code() == 0
