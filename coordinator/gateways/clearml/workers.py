"""Workers register, report and go, and clients list them (ClearML API, service workers)."""

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID, uuid4

from coordinator.gateways.clearml import translate, wire
from coordinator.gateways.clearml.envelope import (
    NO_STATS,
    NOTHING,
    REGISTRATION,
    UNKNOWN_QUEUE,
    UNKNOWN_TASK,
    UNKNOWN_WORKER,
    Operation,
    listing,
    refused,
)
from coordinator.gateways.clearml.translate import PROTOCOL, Caller
from coordinator.gateways.kit import Gate, Registered
from coordinator.operations.foreign import Arrive, Depart, Hear
from coordinator.operations.requests import NotFoundError
from schemas.views import QueueView

_TEXT: Final = {"type": "string"}
_TEXTS: Final = {"type": "array", "items": _TEXT}
_PAIR: Final = {"type": "object", "required": ["id", "name"], "properties": {"id": _TEXT, "name": _TEXT}}
_WORKER: Final = {
    "type": "object",
    "required": ["key", "id", "user", "company", "ip", "register_time", "register_timeout", "last_activity_time",
                 "queues", "tags", "system_tags"],
    "properties": {
        "key": _TEXT, "id": _TEXT, "user": _PAIR, "company": _PAIR, "ip": _TEXT, "register_time": _TEXT,
        "register_timeout": {"type": "integer"}, "last_activity_time": _TEXT, "last_report_time": _TEXT, "task": _PAIR,
        "project": _PAIR, "queue": {"anyOf": [_PAIR, {"type": "null"}]}, "queues": {"type": "array", "items": _PAIR},
        "tags": _TEXTS, "system_tags": _TEXTS,
    },
}  # fmt: skip


class Workers:
    """Their operations."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._usual_s = float(gate.settings.get("clearml_timeout_s", 600.0))

    def operations(self) -> list[Operation]:
        """All of them."""
        count = {"type": "integer", "minimum": 0}
        keys = {"type": "array", "items": listing(name=_TEXT, metric_keys=_TEXTS)}
        return [
            Operation("workers.register", wire.Register, NOTHING, self.register),
            Operation("workers.unregister", wire.Unregister, NOTHING, self.unregister),
            Operation("workers.status_report", wire.StatusReport, NOTHING, self.status_report),
            Operation(
                "workers.get_all", wire.GetAll, listing(workers={"type": "array", "items": _WORKER}), self.get_all
            ),
            Operation("workers.get_count", wire.Count, listing(count=count), self.get_count, since=26),
            Operation("workers.get_metric_keys", wire.MetricKeys, listing(categories=keys), self.get_metric_keys),
        ]

    async def register(self, caller: Caller, said: wire.Register) -> dict[str, Any]:
        """The worker is here: another life of it, unless the same login says so again."""
        if said.timeout is not None and said.timeout < 0:
            raise refused(REGISTRATION, "the timeout must not be negative", timeout=said.timeout)
        names = {queue: translate.queue_name(queue) for queue in said.queues}
        if unknown := [queue for queue, name in names.items() if name is None]:
            raise refused(UNKNOWN_QUEUE, f"no queue has the id {', '.join(unknown)[:200]}", ids=unknown)
        queues = [name for name in names.values() if name is not None]
        portrait = translate.portrait_of(said, queues, caller, self._usual_s)
        life = UUID(caller.session) if caller.session else uuid4()
        await self._gate.ask(Arrive(translate.name_of(said.worker), portrait, life, translate.POLL))
        return {}

    async def unregister(self, caller: Caller, said: wire.Unregister) -> dict[str, Any]:
        """The worker goes: what it runs, others get. Who is not known has nothing to leave."""
        worker = translate.name_of(said.worker)
        if await self._is_replaced(worker, caller):
            return {}
        try:
            await self._gate.ask(Depart(worker, sign=translate.POLL, reason="unregistered"))
        except NotFoundError:
            return {}
        return {}

    async def status_report(self, caller: Caller, said: wire.StatusReport) -> dict[str, Any]:
        """The worker lives. One that is not known is registered by it, for the usual time."""
        worker = translate.name_of(said.worker)
        if await self._is_replaced(worker, caller):
            raise refused(
                UNKNOWN_WORKER,
                "another agent has registered under this id since this one logged in",
                worker=said.worker,
            )
        sign = translate.sign_of(said)
        known = Hear(worker, translate.reported(said, caller), sign, creates=False, quiet_s=translate.QUIET_S)
        strange = said.task is not None and translate.ref_of(said.task) is None
        try:
            await self._gate.ask(known)
        except NotFoundError:
            if not strange:
                newcomer = wire.Register(worker=said.worker, tags=said.tags, system_tags=said.system_tags)
                queues = [name for name in map(translate.queue_name, said.queues or ()) if name is not None]
                await self._gate.ask(Hear(worker, translate.portrait_of(newcomer, queues, caller, self._usual_s), sign))
        if strange:  # it lives, whatever it says of its task
            raise refused(UNKNOWN_TASK, f"there is no task {str(said.task)[:40]!r}", task=said.task)
        return {}

    async def _is_replaced(self, worker: str, caller: Caller) -> bool:
        """Whether someone who logged in later than this caller speaks for the worker by now."""
        if not caller.session:
            return False
        return (await self._gate.holdings.session_of(PROTOCOL, worker) or "") > caller.session

    async def get_all(self, _: Caller, said: wire.GetAll) -> dict[str, Any]:
        """The registered workers that pass all filters."""
        found = await self._listed(said)
        waiting = {queue.name: queue.waiting for queue in await self.queues()} if found else {}
        return {"workers": [translate.entry_of(one, waiting) for one in found]}

    async def get_count(self, _: Caller, said: wire.Count) -> dict[str, Any]:
        """How many these are."""
        return {"count": len(await self._listed(said))}

    async def get_metric_keys(self, _: Caller, said: wire.MetricKeys) -> dict[str, Any]:
        """What they measure."""
        wanted = frozenset(said.worker_ids)
        metrics = {
            metric
            for one in await self._gate.holdings.roster(PROTOCOL)
            if not wanted or one.foreign_id in wanted
            for metric in one.metrics
        }
        categories = translate.categories(metrics)
        if not categories:
            raise refused(NO_STATS, "none of these workers has reported figures", worker_ids=said.worker_ids)
        return {"categories": categories}

    async def queues(self) -> Sequence[QueueView]:
        """The farm's queues."""
        return await self._gate.farm.views.queues()

    async def _listed(self, said: wire.Count) -> list[Registered]:
        filters = said.tags, said.system_tags, said.last_seen, said.worker_pattern
        return [one for one in await self._gate.holdings.roster(PROTOCOL) if translate.listed(one, *filters)]
