"""The mixed demo's story: workers of four protocols join one farm and finish one job that needs each of them."""

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.local.demo.scene import Scene, news
from coordinator.local.demo.story import DemoError, tasks_of
from coordinator.local.demo.view import View, view_for
from coordinator.local.farm import LocalFarm
from coordinator.local.mixed.crew import Crew
from coordinator.local.mixed.job import expected, sums
from coordinator.local.mixed.summary import Ending, sentences
from coordinator.local.plan import Plan
from coordinator.storage.tally import tally
from schemas.views import FINISHED_JOB, JobState, TaskState

_LOOK_EVERY_S: Final = 0.4
_PATIENCE_S: Final = 180.0
GATEWAYS: Final = "flamenco_v3,clearml,celery"


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How it is wanted. `keep` keeps the farm's directory, with its logs and data."""

    agents: int = 1
    keep: bool = False


async def run(options: Options, console: Console) -> int:
    """Play the story on *console*; 0 when the farm kept its promise and every protocol did its share.

    Raises:
        LocalServiceError: it could not be played to its end.
    """
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="farmhand-sums-") as parts, view_for(console) as view:
        kept = Path(tempfile.mkdtemp(prefix="kept-farmhand-demo-")) if options.keep else None
        view.tell("starting RabbitMQ, Postgres, a coordinator and an agent of ours")
        plan = Plan(agents=options.agents, directory=kept, settings={"FARMHAND_GATEWAYS": GATEWAYS})
        async with LocalFarm(plan, say=view.tell) as farm, farm.client() as client:
            ending = await _play(farm, client, view, Path(parts), began)
            view.tell("stopping the farm")
        view.tell("everything is stopped")
    lines = ["", *sentences(ending), *([f"{'kept':<12} {kept}"] if kept else [])]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0 if ending.kept else 1


async def _play(farm: LocalFarm, client: AsyncFarmhandClient, view: View, parts: Path, began: float) -> Ending:
    view.tell("starting a Flamenco worker (scripted), a ClearML agent (scripted) and a stock Celery worker")
    async with Crew(farm, client, farm.url, view.tell) as crew:
        try:
            submitted = await client.submit(sums(parts))
            view.tell(f"job {submitted.job}: a sum in parts, some for each protocol, then one task that adds them up")
            scene = await _see_it_done(client, view, crew, submitted.job)
            return Ending(
                tally=await tally(farm.services.database_url, submitted.job),
                tasks=scene.tasks,
                workers=scene.workers,
                total=await _result(client, scene.tasks[-1].id),
                expected=expected(),
                seconds=time.monotonic() - began,
            )
        except FarmhandError as error:
            raise DemoError(f"{error}\nWith --keep the logs of all processes are kept.") from None


async def _see_it_done(client: AsyncFarmhandClient, view: View, crew: Crew, job: int) -> Scene:
    deadline = time.monotonic() + _PATIENCE_S
    seen = Scene()
    while True:
        state = (await client.job(job)).state
        scene = Scene(workers=tuple((await client.workers()).items), tasks=tuple(await tasks_of(client, job)))
        for line in news(seen, scene) if seen.workers else ():
            view.tell(line)
        view.show(scene)
        seen = scene
        if state in FINISHED_JOB:
            break
        crew.check()
        if time.monotonic() > deadline:
            raise DemoError(f"the job is not done after {_PATIENCE_S:.0f} s: {_unfinished(scene)}")
        await asyncio.sleep(_LOOK_EVERY_S)
    if state is not JobState.COMPLETED:
        raise DemoError(f"the job has {state.value}: {_unfinished(scene)}")
    return scene


def _unfinished(scene: Scene) -> str:
    """The first task that is not done, and why."""
    for task in scene.tasks:
        if task.state is not TaskState.COMPLETED:
            return f"{task.name} is {task.state.value} ({task.error or task.reason or 'no reason given'})"
    return "all tasks are completed"


async def _result(client: AsyncFarmhandClient, task: int) -> int | None:
    said: Any = next((attempt.result for attempt in (await client.task(task)).attempts if attempt.accepted), None)
    return int(said) if isinstance(said, str) and said.isdecimal() else None
