"""The units of deploy/systemd under a real systemd: hardened as they are, the programs do their work in them."""

import resource
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from coordinator.client import FarmhandClient
from coordinator.local.ports import free_port
from coordinator.local.services import Services
from schemas.job import JobSpec
from tests.containers.engine import Engine
from tests.containers.images import provide

pytestmark = [pytest.mark.containers, pytest.mark.extensive, pytest.mark.timeout(900)]

UNITS: Final = Path(__file__).parents[2] / "deploy" / "systemd"
#: What systemd needs to be the first process of a container, and to harden what it starts.
BOOT: Final = (
    "--detach", "--user=root", "--entrypoint=/sbin/init", "--stop-signal=SIGRTMIN+3", "--network=host",
    "--cgroupns=host", "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs=/run", "--tmpfs=/run/lock",
    "--cap-add=SYS_ADMIN", "--cap-add=SYS_PTRACE", "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--env=container=docker", "--env=NOTIFY_SOCKET=/etc/farmhand/notify",
)  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """A booted container, and the farm's address."""

    container: str
    engine: Engine
    url: str

    def run(self, *command: str) -> str:
        """Run *command* on it as root; what it printed."""
        done = subprocess.run(
            ["docker", "exec", self.container, *command],
            env=self.engine.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}\n{self.journal()}"
        return done.stdout.strip()

    def until_logged(self, unit: str, words: str) -> None:
        """Return when the unit has logged a line with *words*; fail when it ends without."""
        follow = [
            "docker",
            "exec",
            self.container,
            "journalctl",
            "--follow",
            "--lines=all",
            "--output=cat",
            "--unit",
            unit,
        ]
        with subprocess.Popen(follow, env=self.engine.environment, stdout=subprocess.PIPE, text=True) as lines:
            assert lines.stdout
            for line in lines.stdout:
                if words in line:
                    lines.terminate()
                    return
                if "Failed with result" in line:
                    lines.terminate()
                    pytest.fail(f"{unit} failed:\n{self.journal()}")
        pytest.fail(f"{unit} never said {words!r}:\n{self.journal()}")

    def journal(self) -> str:
        """The last lines of the machine's journal."""
        command = ["docker", "exec", self.container, "journalctl", "--no-pager", "--lines=40"]
        return subprocess.run(command, env=self.engine.environment, capture_output=True, text=True, check=False).stdout

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)


@pytest.fixture(scope="module")
def machine(docker: Engine, contained: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with both units started as their first lines say, on the contained services."""
    port = free_port()
    etc = tmp_path_factory.mktemp("etc")
    (etc / "coordinator.env").write_text(
        f"FARMHAND_DATABASE_URL={contained.database_url}\nFARMHAND_AMQP_URL={contained.amqp_url}\n"
        f"FARMHAND_HTTP_PORT={port}\n"
    )
    (etc / "agent.env").write_text(
        f"FARMHAND_AGENT_AMQP_URL={contained.amqp_url}\nFARMHAND_AGENT_WORKER=node-1\nFARMHAND_AGENT_DRAIN_S=1\n"
    )
    # The engine of a small machine may have fewer files to give than the units ask for.
    limit = min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    (etc / "limit.conf").write_text(f"[Service]\nLimitNOFILE={limit}\n")
    mounts = [
        f"--volume={etc}:/etc/farmhand:ro",
        f"--volume={UNITS}/farmhand.sysusers:/etc/sysusers.d/farmhand.conf:ro",
    ]
    for unit in ("farmhand-coordinator.service", "farmhand-agent.service"):
        mounts.append(f"--volume={UNITS / unit}:/etc/systemd/system/{unit}:ro")
        mounts.append(f"--volume={etc}/limit.conf:/etc/systemd/system/{unit}.d/limit.conf:ro")
    # The first process of a container tells whoever started it that it has booted.
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as booted:
        booted.bind(str(etc / "notify"))
        booted.settimeout(60)
        started = subprocess.run(
            ["docker", "run", *BOOT, *mounts, provide("coordinator", docker)],
            env=docker.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert started.returncode == 0, started.stderr
        while b"READY=1" not in booted.recv(4096).splitlines():
            pass
    machine = Machine(started.stdout.strip(), docker, f"http://127.0.0.1:{port}")
    try:
        machine.run("systemctl", "start", "farmhand-coordinator")
        machine.until_logged("farmhand-coordinator", "coordinator_ready")
        machine.run("systemctl", "start", "farmhand-agent")
        machine.until_logged("farmhand-agent", "welcomed")
        yield machine
    finally:
        subprocess.run(["docker", "rm", "--force", machine.container], env=docker.environment, check=True)


def a_job(*argv: str) -> JobSpec:
    command = {"name": "exec", "parameters": {"argv": list(argv)}}
    return JobSpec.model_validate({"name": "job", "tasks": [{"name": "run", "kind": "exec", "commands": [command]}]})


def test_a_task_runs_with_the_rights_of_the_unit_and_no_more(machine: Machine) -> None:
    script = (
        "id -un; touch made && echo wrote; touch /usr/x 2>&1; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status"
    )
    with FarmhandClient(machine.url) as client:
        job = client.submit(a_job("sh", "-c", f"{script}; true")).job
        *_, last = client.watch(job)
        (task,) = client.tasks(job).items
        said = "".join(part.text for part in client.follow_log(task.id)).splitlines()

    assert last.state == "completed"
    assert said[:2] == ["farmhand", "wrote"]
    assert "Read-only file system" in said[2]
    assert [line.split() for line in said[3:]] == [["CapEff:", "0" * 16], ["NoNewPrivs:", "1"], ["Seccomp:", "2"]]


def test_an_agent_that_is_asked_to_restart_comes_back(machine: Machine) -> None:
    with FarmhandClient(machine.url) as client:
        client.request_worker_state("node-1", "restart", reason="a new release")
        machine.until_logged("farmhand-agent", '"epoch": 2')
    assert machine.property("farmhand-agent", "NRestarts") == "1"


def test_a_stopped_agent_hands_its_task_back_and_leaves_no_process(machine: Machine) -> None:
    with FarmhandClient(machine.url) as client:
        job = client.submit(a_job("sleep", "3600")).job
        for view in client.watch(job, every_s=0.2):
            if view.counts.running:
                break
        machine.run("systemctl", "stop", "farmhand-agent")

        (task,) = client.tasks(job).items
        assert (task.state, task.failures) == ("ready", 0)
    assert machine.property("farmhand-agent", "Result") == "success"
    assert machine.run("sh", "-c", "pgrep -u farmhand || true") == ""


def test_a_stopped_coordinator_ends_in_good_order(machine: Machine) -> None:
    machine.run("systemctl", "stop", "farmhand-coordinator")
    assert machine.property("farmhand-coordinator", "Result") == "success"
    assert machine.property("farmhand-coordinator", "ExecMainStatus") == "0"
