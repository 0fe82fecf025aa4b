"""What workers say of themselves and of their tasks: what each event needs to see, and who applies it."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from coordinator.operations import reports, spawning, workers
from coordinator.operations.ledger import Ledger
from coordinator.operations.wanted import Wanted
from schemas.envelope import FromWorker
from schemas.spawn import TaskSpawn
from schemas.task import Outcome, TaskFinished, TaskOutput, TaskProgress, TaskPromoted, TaskStarted
from schemas.worker import WorkerHeartbeat, WorkerOffline, WorkerOnline, WorkerStateChanged

WORKER_EVENTS: Final[Mapping[type, Callable[[Ledger, FromWorker, Any], None]]] = {
    WorkerOnline: workers.online,
    WorkerHeartbeat: workers.beat,
    WorkerStateChanged: workers.state_changed,
    WorkerOffline: workers.offline,
    TaskStarted: reports.started,
    TaskProgress: reports.progress,
    TaskOutput: reports.output,
    TaskFinished: reports.finished,
    TaskPromoted: reports.promoted,
    TaskSpawn: spawning.spawn,
}


def want(wanted: Wanted, message: FromWorker) -> None:
    """What its events need to see."""
    wanted.workers.add(message.worker)
    for event in message.events:
        match event:
            case TaskFinished():
                wanted.attempts.add((event.task, event.attempt))
                if event.added:
                    wanted.recurring.adders.add(event.task)
                if event.outcome is Outcome.COMPLETED:
                    wanted.dependents_of.add(event.task)
            case TaskStarted() | TaskProgress() | TaskOutput():
                wanted.attempts.add((event.task, event.attempt))
            case TaskSpawn():
                wanted.attempts.add((event.task, event.attempt))
                wanted.recurring.spawns.append((event.task, event.spec))
                wanted.kinds = True
                wanted.rules = wanted.rules or bool(event.spec.licenses)
            case TaskPromoted():
                wanted.attempts.add((event.task, event.attempt))
                wanted.dependents_of.add(event.task)
            case WorkerOnline() | WorkerHeartbeat():
                wanted.holders.add(message.worker)
                wanted.attempts.update((held.task, held.attempt) for held in event.holds)
            case WorkerOffline() | WorkerStateChanged():
                wanted.holders.add(message.worker)


def apply(ledger: Ledger, message: FromWorker) -> None:
    """Apply its events, in their order."""
    for event in message.events:
        does = WORKER_EVENTS.get(type(event))
        if does is not None:
            does(ledger, message, event)
            ledger.counted["event", event.type] += 1
