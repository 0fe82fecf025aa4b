"""The demo as a newcomer runs it: real servers, real agents, one of them killed; and nothing is left of it."""

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image, ImageSequence

pytestmark = pytest.mark.timeout(240)

FRAMES = 12
_PR_SET_CHILD_SUBREAPER = 36


class Watch:
    """Sees all processes that are started below this one, orphans too: they become ours when their parents end."""

    def __init__(self) -> None:
        self._before = set(self._below())

    def still_running(self) -> list[str]:
        """What was started since then and has not ended."""
        return [self._name(process) for process in self._new() if process.status() != psutil.STATUS_ZOMBIE]

    def clean_up(self) -> None:
        """End what is left, so that one failed test does not disturb the next."""
        for process in self._new():
            with contextlib.suppress(psutil.NoSuchProcess, ChildProcessError):
                process.kill()
                os.waitpid(process.pid, 0)

    def _new(self) -> list[psutil.Process]:
        return [process for process in self._below() if process not in self._before]

    @staticmethod
    def _below() -> list[psutil.Process]:
        return psutil.Process().children(recursive=True)

    @staticmethod
    def _name(process: psutil.Process) -> str:
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"


@pytest.fixture
def watch() -> Iterator[Watch]:
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    watch = Watch()
    yield watch
    watch.clean_up()
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory with a short name (sockets must fit) for the demo's temporary files and pictures."""
    path = Path(tempfile.mkdtemp(prefix="fd-"))
    path.chmod(0o755)
    (path / "tmp").mkdir()
    yield path
    shutil.rmtree(path)


def start_demo(place: Path, *options: str) -> subprocess.Popen[str]:
    """The demo in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from coordinator.cli import main; main()", "demo", f"--frames={FRAMES}", *options],
        cwd=place,
        env={**os.environ, "TMPDIR": str(place / "tmp")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def pictures(path: Path) -> int:
    """How many frames the animation at *path* has; all of them are decoded."""
    with Image.open(path) as picture:
        return sum(1 for frame in ImageSequence.Iterator(picture) if frame.convert("RGB").getpixel((0, 0)))


def test_the_demo_loses_an_agent_and_still_ends_well(place: Path, watch: Watch) -> None:
    with start_demo(place) as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 0, output
    assert watch.still_running() == []
    assert list((place / "tmp").iterdir()) == []

    killed = re.search(r"KILL (agent-\d) with SIGKILL", output)
    drained = re.search(r"DRAIN (agent-\d)", output)
    assert killed, output
    assert drained, output
    assert killed[1] != drained[1]
    assert f"{killed[1]} is lost" in output
    assert f"{drained[1]} is draining" in output
    assert "starts again: attempt 2" in output

    attempts = re.search(r"attempts +(\d+): (\d+) accepted, (\d+) lost", output)
    assert attempts, output
    made, accepted, lost = (int(number) for number in attempts.groups())
    assert accepted == FRAMES + 1
    assert lost >= 1
    assert made >= accepted + lost
    assert "every task was accepted exactly once" in output

    animation = re.search(r"animation +(.+)", output)
    sheet = re.search(r"sheet +(.+?) \(", output)
    assert animation, output
    assert sheet, output
    assert animation[1].startswith(str(place / "farmhand-demo"))
    assert pictures(Path(animation[1])) == FRAMES
    with Image.open(sheet[1]) as picture:
        picture.verify()
    assert all(character.isprintable() or character == "\n" for character in output), "control codes without a terminal"


def test_ctrl_c_ends_the_demo_and_all_that_it_started(place: Path, watch: Watch) -> None:
    with start_demo(place, "--no-kill") as demo:
        assert demo.stdout is not None
        begun = list(itertools.takewhile(lambda line: "tasks done" not in line, demo.stdout))
        demo.send_signal(signal.SIGINT)
        rest, _ = demo.communicate()
    assert demo.returncode == 130, "".join(begun) + rest
    assert watch.still_running() == []
    assert list((place / "tmp").iterdir()) == []


def test_a_place_that_cannot_be_written_is_said_before_anything_is_started(place: Path, watch: Watch) -> None:
    (place / "farmhand-demo").write_text("a file where the pictures should go")
    with start_demo(place) as demo:
        output, _ = demo.communicate()
    assert demo.returncode == 1
    assert len(output.splitlines()) == 1
    assert "--out" in output
    assert watch.still_running() == []
