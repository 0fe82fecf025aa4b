"""The demo's story: a farm starts, works, loses a worker, drains another, and finishes all the same."""

import asyncio
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from coordinator.client import AsyncFarmhandClient, FarmhandError
from coordinator.local.demo.frame import affordable_samples
from coordinator.local.demo.job import ANIMATION, PROMOTED, SHEET, zoom
from coordinator.local.demo.scene import Scene, news
from coordinator.local.demo.summary import Ending, sentences
from coordinator.local.demo.view import View, view_for
from coordinator.local.errors import LocalServiceError
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.tally import tally
from schemas.views import FINISHED_JOB, JobState, TaskState, TaskView
from schemas.worker import RequestedState

_LOOK_EVERY_S: Final = 0.4
#: The parts of the frames that are done when an agent is killed, and when another is drained.
_KILL_AT: Final = 0.15
_DRAIN_AT: Final = 0.4
_PATIENCE_S: Final = 180.0
_PATIENCE_PER_FRAME_S: Final = 10.0
_PROMOTED_S: Final = 30.0
_DRAIN_REASON: Final = "time for maintenance, says the demo"


class DemoError(LocalServiceError):
    """The demo cannot go on; says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the demo is wanted. `out` gets the pictures; `keep` keeps the farm's directory, with its logs and data."""

    frames: int = 48
    agents: int = 3
    kill: bool = True
    keep: bool = False
    out: Path = Path("farmhand-demo")


async def run(options: Options, console: Console) -> int:
    """Play the story on *console*; 0 when the farm kept its promise.

    Raises:
        LocalServiceError: it could not be played to its end.
    """
    began = time.monotonic()
    samples = affordable_samples()
    out = _writable(options.out)
    kept = Path(tempfile.mkdtemp(prefix="kept-farmhand-demo-")) if options.keep else None
    with view_for(console) as view:
        view.tell(f"starting RabbitMQ, Postgres, a coordinator and {options.agents} agents")
        farm = LocalFarm(Plan(agents=options.agents, directory=kept, published=out), say=view.tell)
        async with farm:
            story = Story(farm, view, options)
            try:
                ending = await story.play(samples, began)
            except (LocalServiceError, FarmhandError) as error:
                logs = out / "logs"
                shutil.copytree(farm.logs, logs, dirs_exist_ok=True)
                raise DemoError(f"{error}\nThe logs of all processes are in {logs}.") from None
            view.tell("stopping the farm")
        view.tell("everything is stopped")
    for line in ["", *sentences(ending)]:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if kept:
        console.print(f"kept       {kept}", markup=False, highlight=False, soft_wrap=True)
    return 0 if ending.kept else 1


class Story:
    """One telling of it, on a farm that runs."""

    def __init__(self, farm: LocalFarm, view: View, options: Options) -> None:
        """Tell it with *farm* to *view*."""
        self._farm = farm
        self._view = view
        self._options = options
        self._scene = Scene()
        self._killed: str | None = None
        self._drained: str | None = None

    async def play(self, samples: int, began: float) -> Ending:
        """Submit the job, break things, and wait for the pictures."""
        frames = self._options.frames
        async with self._farm.client() as client:
            self._look_at(await self._scene_now(client, None))
            submitted = await client.submit(zoom(frames, samples))
            self._view.tell(f"job {submitted.job}: {frames} frames of a fractal zoom, then one task that joins them")
            await self._see_it_done(client, submitted.job)
            await self._see_it_promoted(client, submitted.job)
            counted = await tally(self._farm.services.database_url, submitted.job)
        folder = self._farm.published / PROMOTED
        return Ending(
            tally=counted,
            killed=self._killed,
            drained=self._drained,
            seconds=time.monotonic() - began,
            animation=folder / ANIMATION,
            sheet=folder / SHEET,
        )

    async def _see_it_done(self, client: AsyncFarmhandClient, job: int) -> None:
        patience_s = _PATIENCE_S + _PATIENCE_PER_FRAME_S * self._options.frames
        deadline = time.monotonic() + patience_s
        while (state := (await client.job(job)).state) not in FINISHED_JOB:
            self._look_at(await self._scene_now(client, job))
            self._check_parts()
            await self._interfere(client)
            if time.monotonic() > deadline:
                raise DemoError(f"the job is not done after {patience_s:.0f} s: {self._unfinished()}")
            await asyncio.sleep(_LOOK_EVERY_S)
        self._look_at(await self._scene_now(client, job))
        if state is not JobState.COMPLETED:
            raise DemoError(f"the job has {state.value}: {self._unfinished()}")

    async def _see_it_promoted(self, client: AsyncFarmhandClient, job: int) -> None:
        """The pictures are put where people look for them after the verdict on the last task."""
        join = (await self._scene_now(client, job)).tasks[-1]
        deadline = time.monotonic() + _PROMOTED_S
        while not any(attempt.promoted_at for attempt in (await client.task(join.id)).attempts):
            if time.monotonic() > deadline:
                raise DemoError(f"the pictures were not put into {self._farm.published} within {_PROMOTED_S:.0f} s")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def _scene_now(self, client: AsyncFarmhandClient, job: int | None) -> Scene:
        workers, queues, tasks = await asyncio.gather(client.workers(), client.queues(), tasks_of(client, job))
        return Scene(
            workers=tuple(workers.items),
            tasks=tuple(tasks),
            queue=next((queue for queue in queues if queue.name == "default"), None),
        )

    def _look_at(self, scene: Scene) -> None:
        for line in news(self._scene, scene):
            self._view.tell(line)
        self._scene = scene
        self._view.show(scene)

    async def _interfere(self, client: AsyncFarmhandClient) -> None:
        done = self._scene.count(TaskState.COMPLETED) / self._options.frames
        if self._options.kill and self._killed is None and done >= _KILL_AT:
            self._kill()
        elif self._drained is None and done >= _DRAIN_AT and (victim := self._scene.busiest(self._killed or "")):
            self._drained = victim
            self._view.tell(f"DRAIN {victim}: it finishes what it has and takes nothing more")
            await client.request_worker_state(victim, RequestedState.DRAIN, reason=_DRAIN_REASON)

    def _kill(self) -> None:
        if (victim := self._scene.busiest()) is None:
            return
        self._killed = victim
        self._farm.kill(victim)
        self._view.tell(f"KILL {victim} with SIGKILL: it says no goodbye, and the farm does not know yet")

    def _check_parts(self) -> None:
        for name, part in self._farm.parts.items():
            if not part.running and name != self._killed:
                raise part.failure("ended in the middle of the demo")

    def _unfinished(self) -> str:
        rest = [task for task in self._scene.tasks if task.state is not TaskState.COMPLETED]
        shown = ", ".join(
            f"{task.name} is {task.state.value} ({task.reason or 'no reason given'})" for task in rest[:3]
        )
        return f"{len(rest)} of {len(self._scene.tasks)} tasks are not completed: {shown}"


async def tasks_of(client: AsyncFarmhandClient, job: int | None) -> list[TaskView]:
    """All tasks of *job*, in order of their ids."""
    found: list[TaskView] = []
    after: int | str | None = None if job is None else 0
    while job is not None and after is not None:
        page = await client.tasks(job, after=int(after))
        found += page.items
        after = page.next
    return found


def _writable(out: Path) -> Path:
    """The directory for the pictures, made if need be."""
    out = out.expanduser().absolute()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"cannot make {out} for the pictures: {error.strerror}; choose another with --out") from None
    if not os.access(out, os.W_OK):
        raise DemoError(f"cannot write into {out}: choose another directory with --out")
    return out
