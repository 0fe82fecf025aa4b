"""The demo as a newcomer runs it: real servers, real agents, one of them killed; and nothing is left of it."""

import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageSequence

from tests.support.leftovers import Watch

pytestmark = pytest.mark.timeout(240)

FRAMES = 12


def start_demo(place: Path, *options: str) -> subprocess.Popen[str]:
    """The demo in a session of its own."""
    return subprocess.Popen(
        [
            sys.executable,
            "-P",
            "-c",
            "from coordinator.cli import main; main()",
            "demo",
            f"--frames={FRAMES}",
            *options,
        ],
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
    assert f"was lost with {killed[1]}" in output
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


@pytest.mark.parametrize("moment", ["starting RabbitMQ", "tasks done"])
def test_ctrl_c_ends_the_demo_and_all_that_it_started(place: Path, watch: Watch, moment: str) -> None:
    with start_demo(place, "--no-kill") as demo:
        assert demo.stdout is not None
        begun = list(itertools.takewhile(lambda line: moment not in line, demo.stdout))
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
