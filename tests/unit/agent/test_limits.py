"""What a task's processes get of the machine: narrower limits win, and memory is counted over a whole session."""

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.task import Limits, Resources
from tests.support.processes import wait_gone
from worker_agent.cgroups import MIB, Cgroups
from worker_agent.limits import Caps, Limiter, excesses, settle

limits = st.builds(
    Limits,
    memory_mb=st.integers(0, 2**20),
    nice=st.integers(0, 19),
    oom_score=st.integers(0, 1000),
    idle_io=st.booleans(),
)


@given(st.none() | limits, st.integers(0, 19), st.integers(0, 1000), st.integers(0, 2**20), st.booleans())
def test_a_task_gets_no_better_place_than_its_operator_gives(
    wanted: Limits | None,
    nice: int,
    oom_score: int,
    asked_mb: int,
    enforce: bool,  # noqa: FBT001
) -> None:
    caps = Caps(None, nice, oom_score).under(wanted, Resources(memory_mb=asked_mb), enforce_memory=enforce)
    assert caps.nice == max(nice, wanted.nice if wanted else 0)
    assert caps.oom_score == max(oom_score, wanted.oom_score if wanted else 0)
    said = (wanted.memory_mb if wanted else 0) or (asked_mb if enforce else 0)
    assert caps.memory_bytes == (said * MIB or None)


GROW = """
import os, subprocess, sys, time
size, depth = int(sys.argv[1]), int(sys.argv[2])
block = bytearray(os.urandom(1024)) * (size * 1024)
if depth:
    # The children are in groups of their own, as a shell with job control makes them.
    subprocess.Popen([sys.executable, "-c", sys.argv[3], sys.argv[1], str(depth - 1), sys.argv[3]], process_group=0)
else:
    print("grown", flush=True)
time.sleep(600)
"""


@pytest.fixture
def family() -> Iterator[psutil.Process]:
    """A session of three processes of 60 MiB each."""
    argv = [sys.executable, "-c", GROW, "60", "2", GROW]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"grown\n"
        leader = psutil.Process(process.pid)
        everybody = [leader, *leader.children(recursive=True)]
        yield leader
        for one in everybody:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


def test_the_memory_of_a_whole_session_counts_and_all_of_it_is_ended(family: psutil.Process) -> None:
    children = family.children(recursive=True)
    assert len(children) == 2
    assert excesses({family.pid: 400 * MIB, children[0].pid: MIB}) == [], "a limit is for the session of a leader"
    assert all(one.status() != psutil.STATUS_ZOMBIE for one in (family, *children))
    (excess,) = excesses({family.pid: 150 * MIB})
    assert excess.leader == family.pid
    assert 180 * MIB < excess.used < 260 * MIB
    assert all(one.status() != psutil.STATUS_ZOMBIE for one in (family, *children)), "it is told before it is done"
    excess.end()
    wait_gone(children)


def test_a_process_gets_its_place_and_keeps_a_worse_one(family: psutil.Process) -> None:
    score, nice = Path(f"/proc/{family.pid}/oom_score_adj"), max(family.nice(), 7)
    settle(family.pid, Caps(None, nice=7, oom_score=600, idle_io=True))
    assert (family.nice(), score.read_text().strip()) == (nice, "600")
    assert family.ionice().ioclass == psutil.IOPRIO_CLASS_IDLE
    settle(family.pid, Caps(None, nice=3, oom_score=100))
    assert (family.nice(), score.read_text().strip()) == (nice, "600")
    settle(2**22 + 1, Caps(None, nice=7, oom_score=600, idle_io=True))


def test_a_group_of_the_kernels_is_made_filled_and_asked_how_it_ended(tmp_path: Path) -> None:
    """A directory plays the kernel's part: what is written is what the kernel would read."""
    groups = Cgroups.found(tmp_path)
    assert groups is not None
    assert (tmp_path / "agent" / "cgroup.procs").read_text() == str(os.getpid())
    assert (tmp_path / "cgroup.subtree_control").read_text() == "+memory"
    said: list[str] = []
    groups.hold(77, 100 * MIB, said.append)
    group = tmp_path / "task-77"
    written = {path.name: path.read_text() for path in group.iterdir()}
    assert written == {
        "memory.max": str(100 * MIB),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
        "cgroup.procs": "77",
    }
    (group / "memory.events").write_text("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n")
    groups.release(77)
    assert said == ["it took more than the 100 MiB of memory allowed"]
    assert (group / "cgroup.kill").read_text() == "1"
    groups.hold(78, 100 * MIB, said.append)
    groups.release(78)
    assert len(said) == 1, "it ended by itself"


def test_without_a_group_of_its_own_the_agent_looks_by_itself(tmp_path: Path) -> None:
    assert Cgroups.found(tmp_path / "missing") is None


_PR_SET_DUMPABLE = 4


def as_nobody(check: Callable[[], object]) -> str:
    """What *check* returns in a process without any rights, as text."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
                ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)  # as after the start of a program
            os.write(writing, str(check()).encode())
        except BaseException as error:  # noqa: BLE001 - told to the parent
            os.write(writing, repr(error).encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with os.fdopen(reading) as file:
        return file.read()


def test_without_rights_a_worse_place_is_taken_as_asked_for() -> None:
    def check() -> object:
        os.setpgid(0, 0)  # the test's own group keeps its place
        unmet = settle(os.getpid(), Caps(None, nice=18, oom_score=900, idle_io=True))
        return unmet, os.nice(0), int(Path("/proc/self/oom_score_adj").read_text())

    assert as_nobody(check) == f"({{}}, {max(os.nice(0), 18)}, 900)"


def test_without_rights_what_is_not_allowed_is_an_unmet_limit_and_no_silence() -> None:
    told = as_nobody(lambda: sorted(settle(1, Caps(None, oom_score=1000, idle_io=True)).items()))
    assert told == "[('idle_io', 'Permission denied'), ('oom_score', 'Permission denied')]"


def test_without_rights_to_its_control_group_the_agent_looks_by_itself(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    assert as_nobody(lambda: Limiter(tmp_path).words) == "looked at twice a second"
