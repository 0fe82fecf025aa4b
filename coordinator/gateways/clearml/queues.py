"""Queues, and how an agent gets its next task (ClearML API, service queues)."""

from collections.abc import Sequence
from typing import Any, Final

from coordinator.gateways.clearml import translate, wire
from coordinator.gateways.clearml.asking import Asking
from coordinator.gateways.clearml.envelope import INVALID, NOT_REGISTERED, UNKNOWN_QUEUE, Operation, listing, refused
from coordinator.gateways.clearml.translate import Caller
from coordinator.gateways.kit import Gate
from coordinator.operations.claiming import Claim
from coordinator.operations.requests import NotFoundError

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_ENTRY: Final = {"type": "object", "properties": {"entry": listing(task=_TEXT, added=_TEXT)}}
_QUEUE: Final = listing(id=_TEXT, name=_TEXT, tags=_TEXTS, system_tags=_TEXTS)
_ONE: Final = listing(queue=_QUEUE)
_DEFAULT: Final = "default"


def queue_of(said: wire.Queue) -> str:
    """The name of the queue that is meant. Raises Fault 400/701."""
    name = translate.queue_name(said.queue)
    if name is None:
        raise refused(UNKNOWN_QUEUE, f"no queue has the id {said.queue[:200]!r}", id=said.queue)
    return name


class Queues:
    """Their operations."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._asking = Asking(gate)

    def operations(self) -> list[Operation]:
        """All of them."""
        some, number = listing(queues={"type": "array", "items": _QUEUE}), {"type": "integer", "minimum": 0}
        return [
            Operation("queues.get_all", wire.Queues, some, self.get_all),
            Operation("queues.get_by_id", wire.Queue, _ONE, self.get_by_id),
            Operation("queues.get_default", wire.Nothing, _QUEUE, self.get_default),
            Operation("queues.create", wire.NewQueue, listing(id=_TEXT), self.create),
            Operation("queues.get_next_task", wire.Queue, _ENTRY, self.get_next_task),
            Operation("queues.get_num_entries", wire.Queue, listing(num=number), self.get_num_entries, since=15),
        ]

    async def get_all(self, _: Caller, said: wire.Queues) -> dict[str, Any]:
        """Queues by id, by a pattern of the name, or all that the farm knows of."""
        waiting = await self._waiting()
        if said.id:
            names = [name for name in map(translate.queue_name, said.id) if name is not None]
        elif said.name:
            try:
                names = translate.queues_called(said.name, list(waiting))
            except ValueError as error:
                raise refused(INVALID, str(error)) from None
        else:
            names = list(waiting)
        return {"queues": [_shown(name, waiting) for name in dict.fromkeys(names)]}

    async def get_by_id(self, _: Caller, said: wire.Queue) -> dict[str, Any]:
        """One queue."""
        return {"queue": _shown(queue_of(said), await self._waiting())}

    async def get_default(self, _: Caller, __: wire.Nothing) -> dict[str, Any]:
        """The queue of agents, and of tasks, that name none."""
        return _shown(_DEFAULT, await self._waiting())

    async def create(self, _: Caller, said: wire.NewQueue) -> dict[str, Any]:
        """The id of the queue of this name: it is there already, as all are."""
        if not translate.is_queue(said.name):
            raise refused(INVALID, f"no queue can have the name {said.name[:80]!r} here", name=said.name)
        return {"id": translate.queue_id(said.name)}

    async def get_next_task(self, caller: Caller, said: wire.Queue) -> dict[str, Any]:
        """The next task of this queue, which is the caller's from then on; nothing where there is none.

        An agent does not say who it is: see `asking`.
        """
        queue = queue_of(said)
        worker = await self._asking.who(caller)
        if worker is None:
            return {}
        try:
            claimed = await self._gate.ask(Claim(worker, translate.POLL, (queue,), once=True))
        except NotFoundError:
            raise refused(NOT_REGISTERED, "the worker was removed: register again") from None
        if not claimed.handed:
            return {}
        handed = claimed.handed[0]
        task = translate.task_id(handed.task, handed.attempt)
        return {"entry": {"task": task, "added": translate.told(claimed.standing.now)}}

    async def get_num_entries(self, _: Caller, said: wire.Queue) -> dict[str, Any]:
        """How many tasks wait in it."""
        return {"num": (await self._waiting()).get(queue_of(said), 0)}

    async def _waiting(self) -> dict[str, int]:
        return {queue.name: queue.waiting for queue in await self._gate.farm.views.queues()}


def _shown(name: str, waiting: dict[str, int]) -> dict[str, Any]:
    entries: Sequence[Any] = ()
    return {
        "id": translate.queue_id(name),
        "name": name,
        "display_name": name,
        # A list always: agents look into it.
        "tags": [],
        "system_tags": ["default"] if name == _DEFAULT else [],
        "entries": entries,
        "num_entries": waiting.get(name, 0),
    }
