"""Which runners an agent has: ours, set up as the operator says, and those that other packages bring."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import structlog

from worker_agent.runners import blender, files, frames_to_video
from worker_agent.runners.base import InstantRunner, Runner, is_supervised
from worker_agent.runners.echo import EchoRunner
from worker_agent.runners.exec import ExecRunner
from worker_agent.runners.program import Rules
from worker_agent.runners.python import PythonRunner
from worker_agent.runners.sleep import SleepRunner
from worker_agent.runners.translation import TranslatedRunner, Translation

log = structlog.get_logger(__name__)

GROUP: Final = "farmhand.runners"
TRANSLATIONS: Final = (*files.TRANSLATIONS, blender.TRANSLATION, frames_to_video.TRANSLATION)


@dataclass(frozen=True)
class Runners:
    """Runners by name: those that take their time, and those that take none."""

    lasting: dict[str, Runner] = field(default_factory=dict)
    instant: dict[str, InstantRunner] = field(default_factory=dict)

    @property
    def offered(self) -> list[str]:
        """The names of those that this worker can run, sorted: what is a program must be there."""
        absent = {name for name, one in self.lasting.items() if isinstance(one, TranslatedRunner) and not one.found}
        return sorted({*self.lasting, *self.instant} - absent)

    @property
    def supervised(self) -> list[str]:
        """The names of those that may run in exclusive tasks, sorted."""
        return [name for name in self.offered if is_supervised(self.lasting.get(name))]

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
    rules: Rules | None = None,
    callables: Sequence[str] | None = None,
    callables_inside: Sequence[str] = (),
    interpreter: Path | None = None,
) -> Runners:
    """All runners. One of another package that cannot be loaded is left out, with a word in the log."""
    rules = rules or Rules()
    runners = Runners()
    ours: tuple[Runner | InstantRunner, ...] = (
        ExecRunner(rules),
        PythonRunner(allowed=callables, inside=callables_inside, interpreter=interpreter),
        EchoRunner(),
        SleepRunner(),
        *(TranslatedRunner(translation, rules) for translation in TRANSLATIONS),
    )
    for runner in ours:
        runners.add(runner.name, runner)
    for entry in entry_points(group=GROUP):
        try:
            found = entry.load()
            runners.add(entry.name, TranslatedRunner(found, rules) if isinstance(found, Translation) else found())
        except Exception as error:  # noqa: BLE001 - a stranger's fault must not stop the agent
            log.warning("a runner is left out", runner=entry.name, problem=str(error) or type(error).__name__)
    return runners
