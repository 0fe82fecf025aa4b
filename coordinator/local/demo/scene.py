"""What can be seen of the farm at one instant, and what is new since the instant before, in words."""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.views import Connection, QueueView, TaskState, TaskView, WorkerView


@dataclass(frozen=True)
class Scene:
    """The farm as its API shows it: workers and tasks in order of their ids."""

    workers: tuple[WorkerView, ...] = ()
    tasks: tuple[TaskView, ...] = ()
    queue: QueueView | None = None

    def held_by(self, worker: str) -> list[TaskView]:
        """The tasks that *worker* is to run or runs."""
        busy = {TaskState.ASSIGNED, TaskState.RUNNING}
        return [task for task in self.tasks if task.worker == worker and task.state in busy]

    def count(self, *states: TaskState) -> int:
        """How many tasks are in one of *states*."""
        return sum(task.state in states for task in self.tasks)

    def busiest(self, *but: str) -> str | None:
        """The online worker that runs the most tasks; None when none runs any."""
        running = {
            worker.id: sum(task.state is TaskState.RUNNING for task in self.held_by(worker.id))
            for worker in self.workers
            if worker.connection is Connection.ONLINE and worker.id not in but
        }
        best = max(running, key=lambda name: running[name], default=None)
        return best if best is not None and running[best] else None


def news(before: Scene, now: Scene) -> Iterator[str]:
    """What happened between *before* and *now*, a line for each thing."""
    known = {worker.id: worker for worker in before.workers}
    for worker in now.workers:
        old = known.get(worker.id)
        if old is None or old.connection is not worker.connection:
            yield _connection(worker)
        if old is not None and old.duty != worker.duty:
            yield f"{worker.id} is {worker.duty}" + (f": {worker.reason}" if worker.reason else "")
    seen = {task.id: task for task in before.tasks}
    for task in now.tasks:
        if (old_task := seen.get(task.id)) is not None:
            yield from _task(old_task, task)


def _connection(worker: WorkerView) -> str:
    return {
        Connection.ONLINE: f"{worker.id} is online with {worker.capacity.slots} slots",
        Connection.SUSPECT: f"{worker.id} is silent: it gets no new work",
        Connection.LOST: f"{worker.id} is lost" + (f": {worker.reason}" if worker.reason else ""),
        Connection.OFFLINE: f"{worker.id} has gone offline",
    }[worker.connection]


def _task(old: TaskView, new: TaskView) -> Iterator[str]:
    if new.failures > old.failures:
        yield f"{new.name} failed on {old.worker} and is tried again: {new.reason or 'no reason given'}"
    if new.losses > old.losses:
        yield f"{new.name} was lost with {old.worker} and goes back to the queue"
    if new.attempt > max(old.attempt, 1):
        yield f"{new.name} starts again: attempt {new.attempt}, on {new.worker}"
    if new.state is old.state:
        return
    if new.state in {TaskState.FAILED, TaskState.CANCELED}:
        yield f"{new.name} has {new.state.value}: {new.reason or 'no reason given'}"
    if old.state is TaskState.BLOCKED:
        yield f"{new.name} has all its inputs" + (f" and goes to {new.worker}" if new.worker else "")
