"""The demo on the screen: a live picture on a terminal, plain lines anywhere else.

Plain lines hold no control codes, and say every few seconds how far the work is.
"""

import time
from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from coordinator.local.demo.scene import Scene
from schemas.views import Connection, TaskState, TaskView, WorkerView

_INKS: Final = ("blue", "green", "yellow", "magenta", "cyan", "red")
_NEWS_LINES: Final = 10
_PLAIN_EVERY_S: Final = 5.0
_HEALTH: Final = {
    Connection.ONLINE: "green",
    Connection.SUSPECT: "yellow",
    Connection.LOST: "red",
    Connection.OFFLINE: "dim",
}


class View(Protocol):
    """Where the demo shows itself, while the context lasts."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End; what was shown last stays."""

    def tell(self, line: str) -> None:
        """Something happened."""

    def show(self, scene: Scene) -> None:
        """The farm looks like this now."""


def view_for(console: Console) -> View:
    """The live one on a terminal, else the plain one."""
    return LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView(console)


class PlainView:
    """Lines with the seconds since the beginning."""

    def __init__(self, console: Console) -> None:
        """Write to *console*'s file, past its formatting."""
        self._file = console.file
        self._began = time.monotonic()
        self._next_at = 0.0
        self._last = ""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to end."""

    def tell(self, line: str) -> None:
        """Print it."""
        print(f"{time.monotonic() - self._began:6.1f} s  {line}", file=self._file, flush=True)

    def show(self, scene: Scene) -> None:
        """Print how far it is, when that has changed and some seconds have passed."""
        line = progress_line(scene)
        now = time.monotonic()
        if scene.tasks and line != self._last and now >= self._next_at:
            self.tell(line)
            self._last, self._next_at = line, now + _PLAIN_EVERY_S


def progress_line(scene: Scene) -> str:
    """How far the job is, and who works on it."""
    done = scene.count(TaskState.COMPLETED)
    running = scene.count(TaskState.RUNNING, TaskState.ASSIGNED)
    waiting = len(scene.tasks) - done - running
    workers = ", ".join(f"{worker.id} {len(scene.held_by(worker.id))}" for worker in scene.workers)
    return f"{done} of {len(scene.tasks)} tasks done, {running} running ({workers}), {waiting} waiting"


class LiveView:
    """A picture of the farm that is drawn again and again in its place."""

    def __init__(self, console: Console) -> None:
        """Draw on *console*."""
        self._console = console
        self._began = time.monotonic()
        self._news: deque[str] = deque(maxlen=_NEWS_LINES)
        self._scene = Scene()
        self._live = Live(console=console, refresh_per_second=8, get_renderable=self._draw)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw for the last time."""
        self._live.__exit__(kind, error, trace)

    def tell(self, line: str) -> None:
        """Add it to the news."""
        self._news.append(f"{time.monotonic() - self._began:6.1f} s  {line}")

    def show(self, scene: Scene) -> None:
        """Draw it from now on."""
        self._scene = scene

    def _draw(self) -> RenderableType:
        return picture(self._scene, self._news, time.monotonic() - self._began)


def picture(scene: Scene, told: Sequence[str] | deque[str], elapsed_s: float) -> RenderableType:
    """The farm as a picture: workers, one cell for each task, the queue, the news."""
    parts: list[RenderableType] = [Text(f"Farmhand demo  {elapsed_s:.0f} s", style="bold"), Text()]
    if scene.workers:
        inks = {worker.id: _INKS[place % len(_INKS)] for place, worker in enumerate(scene.workers)}
        parts += [_workers(scene, inks), Text(), _tasks(scene, inks), Text()]
    parts += [Text.from_markup(escape(line)) for line in told]
    return Group(*parts)


def _workers(scene: Scene, inks: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for worker in scene.workers:
        held = scene.held_by(worker.id)
        cpu = "" if worker.cpu_percent is None else f"machine {worker.cpu_percent:3.0f} %"
        free = "idle" if worker.connection is Connection.ONLINE else ""
        doing = Text("  ").join(_doing(task) for task in held) if held else Text(free, style="dim")
        table.add_row(
            Text("■ " + worker.id, style=inks[worker.id]),
            _state(worker),
            f"{len(held)}/{worker.capacity.slots}",
            cpu,
            doing,
        )
    return table


def _state(worker: WorkerView) -> Text:
    if worker.connection is Connection.ONLINE and worker.duty != "awake":
        return Text(worker.duty, style="yellow")
    return Text(worker.connection.value, style=_HEALTH[worker.connection])


def _doing(task: TaskView) -> Text:
    if not task.total:
        return Text(f"{task.name} {task.state.value}", style="dim")
    return Text(f"{task.name} {100 * (task.done or 0) / task.total:3.0f} %")


def _tasks(scene: Scene, inks: dict[str, str]) -> RenderableType:
    cells = Text()
    for task in scene.tasks:
        ink = inks.get(task.worker or "", "white")
        match task.state:
            case TaskState.COMPLETED:
                cells.append("■", style=ink)
            case TaskState.RUNNING | TaskState.ASSIGNED:
                cells.append("□", style=ink)
            case TaskState.FAILED | TaskState.CANCELED:
                cells.append("✗", style="red")
            case _:
                cells.append("·", style="dim")
    grid = Table.grid(padding=(0, 2))
    bar = ProgressBar(total=max(len(scene.tasks), 1), completed=scene.count(TaskState.COMPLETED), width=48)
    grid.add_row(bar, _queue(scene))
    return Group(cells, grid)


def _queue(scene: Scene) -> Text:
    if scene.queue is None:
        return Text()
    queue = scene.queue
    return Text(
        f"queue {queue.name}: {queue.waiting} waiting, {queue.running} running, {queue.serving} workers serve it"
    )
