"""deploy/compose.yaml as an operator uses it: images built here, everything up, a task completes."""

import os
import re
import resource
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from coordinator.client import FarmhandClient
from coordinator.local.ports import free_port
from schemas.job import JobSpec
from tests.containers.engine import Engine
from tests.containers.images import provide

pytestmark = [pytest.mark.containers, pytest.mark.extensive, pytest.mark.timeout(900)]

DEPLOY: Final = Path(__file__).parents[2] / "deploy"


def compose_command() -> list[str]:
    """Compose as a plugin, else the program."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    pytest.fail(
        "compose is not installed: apt-get install docker-compose (or the docker-compose-plugin of your Docker)"
    )


@dataclass(frozen=True)
class Farm:
    """What `compose up` has started, and its settings."""

    project: str
    settings: dict[str, str]
    command: list[str]
    engine: Engine

    def compose(self, *arguments: str) -> str:
        """Run compose; what it printed."""
        return self._run([*self.command, *arguments])

    def docker(self, *arguments: str) -> str:
        """Run docker; what it printed."""
        return self._run(["docker", *arguments])

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(command, env=self.engine.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def until_healthy(self, service: str) -> None:
        """Return when the engine has called *service* healthy, now or before; fail when it ends instead."""
        container = self.compose("ps", "--quiet", service).strip()
        watch = ["docker", "events", "--since=0", f"--filter=container={container}", "--format={{.Status}}"]
        with subprocess.Popen(watch, env=self.engine.environment, stdout=subprocess.PIPE, text=True) as events:
            assert events.stdout
            for status in events.stdout:
                if status.strip() in ("health_status: healthy", "die"):
                    events.terminate()
                    break
        assert status.strip() == "health_status: healthy", self.compose("logs", "--no-color", "--tail=30", service)


@pytest.fixture(scope="module")
def farm(docker: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """The whole farm, on free ports and with fresh passwords; removed afterwards, volumes too."""
    env_file = tmp_path_factory.mktemp("compose") / "env"
    subprocess.run([DEPLOY / "new-env", env_file], check=True, capture_output=True)
    project = f"farmhand-test-{os.getpid()}"
    chosen = {
        "COMPOSE_PROJECT_NAME": project,
        "FARMHAND_HTTP_PORT": str(free_port()),
        "FARMHAND_AMQP_PORT": str(free_port()),
        "FARMHAND_MANAGEMENT_PORT": str(free_port()),
        # A private engine on a small machine may have less to give.
        "FARMHAND_NOFILE": str(min(65536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])),
        "FARMHAND_RABBITMQ_IMAGE": provide("rabbitmq-4.0", docker),
        "FARMHAND_POSTGRES_IMAGE": provide("postgres-17", docker),
        "FARMHAND_COORDINATOR_IMAGE": provide("coordinator", docker),
        "FARMHAND_AGENT_IMAGE": provide("agent", docker),
    }
    written = dict(re.findall(r"^(\w+)=(.*)$", env_file.read_text(), re.MULTILINE)) | chosen
    env_file.write_text("".join(f"{name}={value}\n" for name, value in written.items()))
    files = ["--file", str(DEPLOY / "compose.yaml"), "--env-file", str(env_file), "--project-name", project]
    # Variables of the caller come before the file's.
    environment = {name: value for name, value in docker.environment.items() if name not in written}
    running = Farm(project, written, [*compose_command(), *files], Engine(environment))
    try:
        try:
            running.compose("up", "--detach", "--no-build")
        except AssertionError as error:
            pytest.fail(f"{error}\n{running.compose('logs', '--no-color', '--tail=20')}", pytrace=False)
        yield running
    finally:
        running.compose("down", "--volumes", "--timeout", "30")


@pytest.fixture(scope="module")
def ready(farm: Farm) -> Farm:
    """The farm when its coordinator and its agent are healthy."""
    farm.until_healthy("coordinator")
    farm.until_healthy("agent")
    return farm


def test_a_task_submitted_over_http_completes_on_the_agent(ready: Farm) -> None:
    url = f"http://127.0.0.1:{ready.settings['FARMHAND_HTTP_PORT']}"
    spec = JobSpec.model_validate(
        {
            "name": "hello",
            "tasks": [
                {"name": "say", "kind": "echo", "commands": [{"name": "echo", "parameters": {"message": "hello"}}]},
                {
                    "name": "run",
                    "kind": "exec",
                    "after": ["say"],
                    "upload": ["made"],
                    "commands": [{"name": "exec", "parameters": {"argv": ["sh", "-c", "echo work >made && id -un"]}}],
                },
            ],
        }
    )
    with FarmhandClient(url, token=ready.settings["FARMHAND_API_TOKEN"]) as client:
        job = client.submit(spec).job
        *_, last = client.watch(job)
        assert last.state == "completed"
        tasks = client.tasks(job).items
        assert [(task.name, task.state) for task in tasks] == [("say", "completed"), ("run", "completed")]
        assert "".join(part.text for part in client.follow_log(tasks[1].id)) == "farmhand\n"
        assert client.output(tasks[1].id, 1, "made") == b"work\n"
    files = ready.compose("exec", "-T", "agent", "find", "/srv/farm", "-name", "made", "-user", "farmhand").split()
    assert len(files) == 1


def test_nothing_listens_but_on_loopback(ready: Farm) -> None:
    published = ready.docker(
        "ps", "--filter", f"label=com.docker.compose.project={ready.project}", "--format", "{{.Ports}}"
    )
    addresses = set(re.findall(r"(\S+):\d+->", published))
    assert addresses == {"127.0.0.1"}


def test_our_containers_have_no_privileges_and_cannot_change_their_own_programs(ready: Farm) -> None:
    for service in ("coordinator", "agent"):
        said = ready.compose("exec", "-T", service, "sh", "-c", "id -un; touch /opt/farmhand/x 2>&1 || true").split(
            "\n"
        )
        assert said[0] == "farmhand"
        assert "Read-only file system" in said[1]


def test_the_agent_leaves_in_good_order_when_it_is_stopped(ready: Farm) -> None:
    container = ready.compose("ps", "--quiet", "agent").strip()
    url = f"http://127.0.0.1:{ready.settings['FARMHAND_HTTP_PORT']}"

    ready.compose("stop", "agent")

    assert ready.docker("inspect", "--format", "{{.State.ExitCode}}", container).strip() == "0"
    with FarmhandClient(url, token=ready.settings["FARMHAND_API_TOKEN"]) as client:
        assert client.worker("agent-1").connection == "offline"
