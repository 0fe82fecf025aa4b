"""What agents ask and say of the tasks that they were given (ClearML API, services tasks and events)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from coordinator.gateways.clearml import translate, wire
from coordinator.gateways.clearml.envelope import (
    NOTHING,
    TASK_STATUS,
    UNKNOWN_TASK,
    Operation,
    listing,
    refused,
)
from coordinator.gateways.clearml.translate import Caller, Ref
from coordinator.gateways.kit import Fault, Gate, Given
from coordinator.operations.pulling import MayRun, Seen, Tell
from schemas.task import Outcome

_UPDATED: Final = listing(updated={"type": "integer"}, fields={"type": "object"})
_TASKS: Final = listing(tasks={"type": "array", "items": {"type": "object"}})
#: As many tasks are looked at for one call.
_MOST: Final = 100


class Tasks:
    """Their operations."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def operations(self) -> list[Operation]:
        """All of them."""
        number = {"type": "integer"}
        return [
            Operation("tasks.get_all", wire.Tasks, _TASKS, self.get_all),
            Operation("tasks.get_by_id", wire.Task, listing(task={"type": "object"}), self.get_by_id),
            Operation("tasks.started", wire.Task, _UPDATED, self.started),
            Operation("tasks.ping", wire.Task, NOTHING, self.ping),
            Operation("tasks.completed", wire.Task, _UPDATED, self._ending("completed")),
            Operation("tasks.failed", wire.Task, _UPDATED, self._ending("failed")),
            Operation("tasks.stopped", wire.Task, _UPDATED, self._ending("stopped")),
            Operation("tasks.edit", wire.Task, _UPDATED, self.edit),
            Operation("tasks.dequeue", wire.Task, _UPDATED, self.edit),
            Operation(
                "events.add_batch", wire.Nothing, listing(added=number, errors=number), self.add_batch, batch=True
            ),
        ]

    async def get_all(self, _: Caller, said: wire.Tasks) -> dict[str, Any]:
        """The tasks that are named, each as it is for who was given it; what there is none of is left out."""
        found = []
        for one in list(dict.fromkeys(said.id))[:_MOST]:
            try:
                found.append(await self._shown(one))
            except Fault:
                continue
        return {"tasks": found}

    async def get_by_id(self, _: Caller, said: wire.Task) -> dict[str, Any]:
        """One task, with the program that it is."""
        return {"task": await self._shown(said.task)}

    async def started(self, _: Caller, said: wire.Task) -> dict[str, Any]:
        """Its worker has it, and says so."""
        seen = await self._told(said, activity=_words(said) or "started", runs=True)
        return {**_updated(self._own(said, seen), translate.RUNS), "started": 1}

    async def ping(self, _: Caller, said: wire.Task) -> dict[str, Any]:
        """Its worker lives."""
        ref, given = await self._given(said.task)
        await self._gate.ask(MayRun(given.worker, *ref))
        return {}

    async def edit(self, _: Caller, said: wire.Task) -> dict[str, Any]:
        """What an agent notes on a task for itself is not kept; that it may go on is told."""
        ref, given = await self._given(said.task)
        seen = await self._gate.ask(MayRun(given.worker, *ref))
        return _updated(self._own(said, seen, taken=seen.live), translate.RUNS)

    def _ending(self, status: str) -> Any:
        outcome = translate.OUTCOMES[status]

        async def end(_: Caller, said: wire.Task) -> dict[str, Any]:
            """How it ended."""
            seen = await self._told(said, activity=_words(said), outcome=outcome)
            # Who ends what it was told to end says so; to which attempt that is news, the rows know.
            is_so = seen.own and not seen.live and translate.status_of(seen.state, live=False) == status
            return _updated(self._own(said, seen, taken=seen.taken or (is_so and status == "stopped")), status)

        return end

    async def add_batch(self, _: Caller, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Lines of tasks' logs; what else a program measures is not kept here."""
        texts: dict[str, list[str]] = {}
        errors = 0
        for event in events:
            task, text = event.get("task"), event.get("msg")
            if event.get("type") != "log" or not isinstance(task, str) or not isinstance(text, str):
                errors += 1
                continue
            texts.setdefault(task, []).append(text if text.endswith("\n") else f"{text}\n")
        for task, lines in texts.items():
            try:
                ref, given = await self._given(task)
                await self._gate.note(given.worker, *ref, "".join(lines))
            except Fault:
                errors += len(lines)
        return {"added": len(events) - errors, "errors": errors}

    async def _told(
        self, said: wire.Task, *, activity: str | None = None, runs: bool = False, outcome: Outcome | None = None
    ) -> Seen:
        ref, given = await self._given(said.task)
        return await self._gate.ask(Tell(given.worker, *ref, runs=runs, activity=activity, outcome=outcome))

    def _own(self, said: wire.Task, seen: Seen, *, taken: bool | None = None) -> Seen:
        """What is said of a task that is its worker's. Raises Fault 400/110."""
        if not (seen.taken if taken is None else taken):
            status = translate.status_of(seen.state, live=False)
            raise refused(TASK_STATUS, f"the task is its worker's no more: it is {status}", task=said.task)
        return seen

    async def _given(self, task: str) -> tuple[Ref, Given]:
        """The attempt, and whose it is. A program that a task runs logs in for itself: what it says is its worker's
        word. Raises Fault 400/101."""
        ref = translate.ref_of(task)
        given = await self._gate.holdings.given(*ref) if ref is not None else None
        if ref is None or given is None:
            raise refused(UNKNOWN_TASK, f"there is no task {task[:40]!r}", task=task)
        return ref, given

    async def _shown(self, task: str) -> dict[str, Any]:
        ref, given = await self._given(task)
        seen = await self._gate.ask(MayRun(given.worker, *ref))
        return translate.task_of(task, given, translate.status_of(seen.state, live=seen.live))


def _words(said: wire.Task) -> str | None:
    words = ": ".join(filter(None, (said.status_reason, said.status_message)))
    return words or None


def _updated(_: Seen, status: str) -> dict[str, Any]:
    return {"updated": 1, "fields": {"status": status}}
