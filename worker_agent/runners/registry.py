"""Which runners an agent has: ours, set up as the operator says, and those that other packages bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import structlog

from worker_agent.runners.base import InstantRunner, Runner
from worker_agent.runners.echo import EchoRunner
from worker_agent.runners.exec import ExecRunner
from worker_agent.runners.python import PythonRunner
from worker_agent.runners.sleep import SleepRunner

log = structlog.get_logger(__name__)

GROUP: Final = "farmhand.runners"


@dataclass(frozen=True)
class Runners:
    """Runners by name: those that take their time, and those that take none."""

    lasting: dict[str, Runner] = field(default_factory=dict)
    instant: dict[str, InstantRunner] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted([*self.lasting, *self.instant])

    def add(self, name: str, runner: object) -> None:
        """Take *runner* in. Raises ValueError when it cannot be."""
        if name in self.lasting or name in self.instant:
            raise ValueError("there is one of this name")
        if isinstance(runner, InstantRunner):
            self.instant[name] = runner
        elif isinstance(runner, Runner):
            self.lasting[name] = runner
        else:
            raise TypeError("it has neither run nor run_now")


def find_runners(
    *,
    executables: Sequence[str] | None = None,
    callables: Sequence[str] | None = None,
    callables_inside: Sequence[str] = (),
    interpreter: Path | None = None,
    base_environment: Mapping[str, str] | None = None,
) -> Runners:
    """All runners. One of another package that cannot be loaded is left out, with a word in the log."""
    runners = Runners()
    for runner in (
        ExecRunner(executables, base_environment),
        PythonRunner(allowed=callables, inside=callables_inside, interpreter=interpreter),
        EchoRunner(),
        SleepRunner(),
    ):
        runners.add(runner.name, runner)
    for entry in entry_points(group=GROUP):
        try:
            runners.add(entry.name, entry.load()())
        except Exception as error:  # noqa: BLE001 - a stranger's fault must not stop the agent
            log.warning("a runner is left out", runner=entry.name, problem=str(error) or type(error).__name__)
    return runners
