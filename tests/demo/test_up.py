"""`farmhand up`: a farm that keeps its data, mends itself, and leaves nothing running."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from coordinator.client import FarmhandClient, FarmhandError
from coordinator.local.ports import free_port
from schemas.job import Array, CommandSpec, JobSpec, TaskSpec
from schemas.views import JobState
from tests.support.leftovers import Watch
from tests.support.processes import words_of

pytestmark = pytest.mark.timeout(240)


@contextmanager
def running_up(place: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """A farm that is stopped at the end, however the test goes."""
    with start_up(place, port) as up:
        try:
            yield up
        finally:
            up.terminate()


def start_up(place: Path, port: int, *options: str, data: str = "data") -> subprocess.Popen[str]:
    words = ["up", "--agents=2", "--slots=2", f"--data-dir={place / data}", f"--http=127.0.0.1:{port}", *options]
    return subprocess.Popen(
        [sys.executable, "-P", "-c", "from coordinator.cli import main; main()", *words],
        env={**os.environ, "TMPDIR": str(place / "tmp")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def read_until(up: subprocess.Popen[str], words: str) -> str:
    """What it says until a line with *words*."""
    assert up.stdout is not None
    said = ""
    for line in up.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"it ended without saying {words!r}:\n{said}")


def our_client(place: Path, port: int, said: str) -> FarmhandClient:
    """A client with the token of the farm's owner, as *said*."""
    assert f"FARMHAND_API_TOKEN_FILE={place}/data/admin-token FARMHAND_URL=" in said
    token, url = (place / "data" / "admin-token").read_text().split()
    assert url == f"http://127.0.0.1:{port}"
    return FarmhandClient(url, token=token)


def refused(up: subprocess.Popen[str]) -> str:
    """The words with which it ended as a service that cannot be reached."""
    said, _ = up.communicate()
    assert up.returncode == 6, said
    return said.splitlines()[-1]


def agent_of(up: subprocess.Popen[str], name: str) -> psutil.Process:
    """The process of agent *name*."""
    return next(child for child in psutil.Process(up.pid).children() if name in words_of(child))


def naps(count: int) -> JobSpec:
    command = CommandSpec(name="exec", parameters={"argv": ["sleep", "0.5"]})
    return JobSpec(name="naps", tasks=[TaskSpec(name="nap", kind="exec", commands=[command], array=Array(count=count))])


def test_a_farm_survives_a_dead_agent_and_its_own_restart(place: Path, watch: Watch) -> None:
    port = free_port()
    with running_up(place, port) as up, our_client(place, port, said := read_until(up, "Ctrl-C")) as farm:
        assert (place / "data" / "admin-token").stat().st_mode & 0o777 == 0o600
        stranger = FarmhandClient(f"http://127.0.0.1:{port}", token="fht_0123456789ab_" + "0" * 64)
        with stranger, pytest.raises(FarmhandError, match="the API token is wrong"):
            stranger.jobs()
        assert f"http://127.0.0.1:{port} farmhand workers" in said
        assert "farmhand submit" in said

        assert "in use by another farmhand" in refused(start_up(place, free_port()))
        assert "--http" in refused(start_up(place, port, data="other"))

        job = farm.submit(naps(12)).job
        agent_of(up, "agent-1").kill()
        assert "by signal 9" in read_until(up, "agent-1 is started again")
        *_, last = farm.watch(job)
        assert last.state is JobState.COMPLETED
        assert last.counts.completed == 12
        assert {worker.id for worker in farm.workers().items} == {"agent-1", "agent-2"}

        up.send_signal(signal.SIGTERM)
        assert "hand back" in up.communicate()[0]
    assert up.returncode == 0
    assert watch.still_running() == []

    with running_up(place, port) as up, our_client(place, port, read_until(up, "Ctrl-C")) as farm:
        assert farm.job(job).counts.completed == 12
        *_, last = farm.watch(farm.submit(naps(1)).job)
        assert last.state is JobState.COMPLETED
        up.send_signal(signal.SIGINT)
        up.communicate()
    assert up.returncode == 0
    assert watch.still_running() == []
    assert list((place / "tmp").iterdir()) == []


@pytest.mark.parametrize("http", ["nonsense", "127.0.0.1:0", "127.0.0.1:70000", ":x"])
def test_a_place_that_cannot_be_is_a_wrong_word(place: Path, http: str) -> None:
    up = start_up(place, 1, f"--http={http}")
    said, _ = up.communicate()
    assert up.returncode == 2
    assert "HOST:PORT" in said
    assert len(said.splitlines()) == 1


def test_a_farm_that_others_can_reach_is_never_open(place: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARMHAND_AUTH", "open")
    assert "FARMHAND_AUTH" in refused(start_up(place, free_port(), f"--http=0.0.0.0:{free_port()}"))
    assert watch.still_running() == []
