"""Which runners an agent has: ours, set up as the operator says, and those that other packages bring."""

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import structlog

from worker_agent.runners.base import AnyRunner, InstantRunner, Runner
from worker_agent.runners.echo import EchoRunner
from worker_agent.runners.exec import ExecRunner
from worker_agent.runners.python import PythonRunner
from worker_agent.runners.sleep import SleepRunner

log = structlog.get_logger(__name__)

GROUP: Final = "farmhand.runners"


def find_runners(
    *,
    executables: Sequence[str] | None = None,
    callables: Sequence[str] | None = None,
    callables_inside: Sequence[str] = (),
    interpreter: Path | None = None,
) -> dict[str, AnyRunner]:
    """All runners by name. One of another package that cannot be loaded is left out, with a word in the log."""
    ours: list[AnyRunner] = [
        ExecRunner(executables),
        PythonRunner(allowed=callables, inside=callables_inside, interpreter=interpreter),
        EchoRunner(),
        SleepRunner(),
    ]
    runners = {runner.name: runner for runner in ours}
    for entry in entry_points(group=GROUP):
        try:
            runner = entry.load()()
        except Exception as error:  # noqa: BLE001 - a stranger's fault must not stop the agent
            log.warning("a runner cannot be loaded", runner=entry.name, error=str(error))
            continue
        if not isinstance(runner, Runner | InstantRunner):
            log.warning("a runner has neither run nor run_now", runner=entry.name)
        elif entry.name in runners:
            log.warning("a runner's name is taken", runner=entry.name)
        else:
            runners[entry.name] = runner
    return runners
