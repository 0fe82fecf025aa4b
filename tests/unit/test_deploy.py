"""`deploy/` agrees with the programs that it runs, and gives them no more than they need."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from coordinator.config import Settings as CoordinatorSettings
from coordinator.local.services import ALL_PLUGINS
from worker_agent.config import PREFIX
from worker_agent.config import Settings as AgentSettings
from worker_agent.machine import EXIT_RESTART

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
UNITS: Final = ("farmhand-coordinator.service", "farmhand-agent.service")
#: Kill grace and the last words to the broker, after the drain.
LEAVING_S: Final = 30
OF_SETTINGS: Final = {f"FARMHAND_{name.upper()}" for name in CoordinatorSettings.model_fields} | {
    f"{PREFIX}{name.upper()}" for name in AgentSettings.model_fields
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """compose.yaml, parsed; merge keys resolved, variables as they stand."""
    parsed: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return parsed


def unit(name: str) -> dict[str, list[str]]:
    """The directives of a unit file, each with its values in order."""
    directives: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            directives.setdefault(key, []).append(value)
    return directives


def variables_of(text: str) -> dict[str, str]:
    """`NAME=value` lines."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def test_every_service_of_compose_tells_its_health_or_ends(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        ends = service.get("healthcheck") == {"disable": True}
        assert ends == (service["restart"] == "no"), name
        assert ends or service["healthcheck"]["test"][0] == "CMD", name


def test_compose_publishes_ports_on_loopback_only(compose: dict[str, Any]) -> None:
    ports = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_our_containers_run_without_privileges(compose: dict[str, Any]) -> None:
    for name in ("migrate", "coordinator", "agent"):
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]
    stages = re.split(r"^FROM \S+ AS ", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    users = {stage.split()[0]: re.findall(r"^USER (.*)$", stage, re.MULTILINE) for stage in stages}
    assert users["coordinator"] == users["agent"] == ["farmhand"]


def test_the_example_of_settings_names_all_that_compose_asks_for_with_the_same_defaults() -> None:
    text = (DEPLOY / "compose.yaml").read_text()
    asked = dict.fromkeys(re.findall(r"\$\{(\w+)", text), "") | dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text))
    example = variables_of((DEPLOY / ".env.example").read_text())
    assert example.pop("COMPOSE_PROJECT_NAME") == "farmhand"
    assert example == asked


def test_new_passwords_are_long_all_different_and_for_the_owner_only(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        subprocess.run([DEPLOY / "new-env", tmp_path / name], check=True, capture_output=True)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
        made.append(variables_of((tmp_path / name).read_text()))
    example = variables_of((DEPLOY / ".env.example").read_text())
    secret = [name for name, value in example.items() if not value]
    words = [settings[name] for settings in made for name in secret]

    assert len(secret) == 4
    assert len(set(words)) == len(words)
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{32}", word) for word in words), "they stand in URLs"
    assert {name: value for name, value in made[0].items() if name not in secret} == {
        name: value for name, value in example.items() if value
    }


def test_passwords_that_are_in_use_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("FARMHAND_API_TOKEN=kept\n")
    done = subprocess.run([DEPLOY / "new-env", tmp_path / "env"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"new-env: {tmp_path / 'env'} is there already; it stays as it is\n"
    assert (tmp_path / "env").read_text() == "FARMHAND_API_TOKEN=kept\n"


def test_every_setting_that_deploy_makes_is_one_of_the_programs(compose: dict[str, Any]) -> None:
    made = {name for service in compose["services"].values() for name in service.get("environment", ())}
    for path in (DEPLOY / "Dockerfile", *(DEPLOY / "systemd" / name for name in UNITS)):
        made |= set(re.findall(r"\b(FARMHAND_\w+)=", path.read_text()))
    ours = {name for name in made if name.startswith("FARMHAND_")}
    assert len(ours) > 12
    assert ours <= OF_SETTINGS


def test_the_broker_has_the_plugins_that_the_farm_uses() -> None:
    text = (DEPLOY / "rabbitmq" / "enabled_plugins").read_text()
    assert set(re.findall(r"\w+", text)) == set(ALL_PLUGINS)


def test_the_build_context_holds_what_the_images_need() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = re.findall(r"^COPY (?!--from)(\S+?)/", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    packages = {"coordinator", "worker_agent", "schemas"}
    assert set(copied) | packages | {"pyproject.toml", "README.md", "LICENSE"} <= allowed
    assert "deploy" not in allowed, "passwords in deploy/.env must not get into an image"


def test_stopping_an_agent_leaves_it_time_to_drain(compose: dict[str, Any]) -> None:
    drain_s = AgentSettings.model_fields["drain_s"].default
    agent = unit("farmhand-agent.service")
    assert agent["KillMode"] == ["mixed"], "only the agent gets SIGTERM: it ends its tasks itself"
    assert float(agent["TimeoutStopSec"][0]) >= drain_s + LEAVING_S
    service = compose["services"]["agent"]
    assert (
        float(service["stop_grace_period"].removesuffix("s"))
        >= float(service["environment"]["FARMHAND_AGENT_DRAIN_S"]) + LEAVING_S
    )


def test_an_agent_that_was_asked_to_restart_is_started_again() -> None:
    agent = unit("farmhand-agent.service")
    assert agent["RestartForceExitStatus"] == agent["SuccessExitStatus"] == [str(EXIT_RESTART)]
    assert f"{PREFIX}CAN_RESTART=true" in agent["Environment"]


@pytest.mark.parametrize("name", UNITS)
def test_units_take_all_rights_away_that_the_programs_do_without(name: str) -> None:
    directives = unit(name)
    assert directives["NoNewPrivileges"] == ["yes"]
    assert directives["ProtectSystem"] == ["strict"]
    assert directives["CapabilityBoundingSet"] == [""]
    assert directives["LimitNOFILE"] == ["65536"]
    assert directives["StateDirectory"] == [name.removesuffix(".service")]
    assert "User" in directives or directives["DynamicUser"] == ["yes"]


if shutil.which("systemd-analyze"):

    @pytest.fixture
    def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
        """The unit with programs that are there: whether they are installed is not its fault."""
        text = (DEPLOY / "systemd" / request.param).read_text().replace("/opt/farmhand/bin", str(tmp_path))
        for program in ("farmhand", "farmhand-agent"):
            (tmp_path / program).symlink_to("/bin/true")
        (tmp_path / request.param).write_text(text)
        return tmp_path / str(request.param)

    @pytest.mark.parametrize("installed", UNITS, indirect=True)
    def test_systemd_finds_nothing_wrong_with_the_units(installed: Path) -> None:
        said = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", installed], capture_output=True, text=True, check=False
        )
        ours = [line for line in said.stderr.splitlines() if installed.name in line or str(installed) in line]
        assert ours == []
        assert said.returncode == 0, said.stderr

    @pytest.mark.parametrize(
        ("installed", "at_most"), [(UNITS[0], 15), (UNITS[1], 20)], indirect=["installed"], ids=UNITS
    )
    def test_systemd_finds_the_units_little_exposed(installed: Path, at_most: int) -> None:
        said = subprocess.run(
            ["systemd-analyze", "security", "--offline=yes", f"--threshold={at_most}", installed],
            capture_output=True,
            text=True,
            check=False,
        )
        assert said.returncode == 0, said.stdout
