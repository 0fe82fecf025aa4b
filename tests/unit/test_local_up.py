"""What `farmhand up` makes of its options, and does about a part that has ended."""

from pathlib import Path

import pytest

from coordinator.local.up import Options, _keep_part, plan_of
from worker_agent.machine import EXIT_OK, EXIT_RESTART


class Ending:
    """A part that ends with these codes, one after the other."""

    name = "agent-1"

    def __init__(self, *codes: int) -> None:
        self._codes = list(codes)
        self.exit_code: int | None = None
        self.starts = 0

    async def ended(self) -> None:
        self.exit_code = self._codes.pop(0)

    def start(self) -> None:
        self.starts += 1


async def test_an_agent_that_was_asked_to_restart_is_started_at_once_and_one_asked_to_stop_stays_away() -> None:
    part, said = Ending(EXIT_RESTART, EXIT_RESTART, EXIT_OK), list[str]()

    await _keep_part(part, said.append)  # type: ignore[arg-type]

    assert part.starts == 2
    assert said == [
        "agent-1 is started again",
        "agent-1 is started again",
        "agent-1 has left, as it was asked to; it stays away until the next start",
    ]


def test_gateways_are_those_of_the_command_line_then_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path("/srv/farm")
    monkeypatch.delenv("FARMHAND_GATEWAYS", raising=False)
    assert "FARMHAND_GATEWAYS" not in plan_of(Options(data_dir=here)).settings
    monkeypatch.setenv("FARMHAND_GATEWAYS", "stencila")
    assert plan_of(Options(data_dir=here)).settings["FARMHAND_GATEWAYS"] == "stencila"
    said = Options(data_dir=here, gateways="flamenco_v3@0.0.0.0:8080,openwork")
    assert plan_of(said).settings["FARMHAND_GATEWAYS"] == "flamenco_v3@0.0.0.0:8080,openwork"
    assert plan_of(Options(data_dir=here, gateways="")).settings["FARMHAND_GATEWAYS"] == ""
