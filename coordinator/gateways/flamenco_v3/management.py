"""Flamenco workers as operators' programs see them (Flamenco 3 API, tag worker-mgt)."""

from collections.abc import Mapping
from typing import Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from coordinator.domain.sleep import DAYS
from coordinator.domain.worker import PRESENT, Asked, Connection, Duty
from coordinator.gateways.flamenco_v3 import translate
from coordinator.gateways.flamenco_v3.answers import Operation, schema
from coordinator.gateways.flamenco_v3.office import BEARER, Office
from coordinator.gateways.flamenco_v3.tags import TAG, shown
from coordinator.gateways.flamenco_v3.translate import WORKER_STATUSES
from coordinator.gateways.flamenco_v3.wire import StatusChange, WorkerSleepSchedule
from coordinator.gateways.kit import Fault, Gate, read
from coordinator.operations.access import RevokeToken
from coordinator.operations.foreign import Depart
from coordinator.operations.requests import RemoveWorker, RequestWorkerState, SetSleepSchedule
from schemas.roles import Role
from schemas.views import HeldView, WorkerView
from schemas.worker import RequestedState

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "integer"}
_STATUS: Final = {"type": "string", "enum": list(WORKER_STATUSES)}
_CHANGE: Final = schema("WorkerStatusChangeRequest", status=_STATUS, is_lazy=_FLAG)
_SUMMARY: Final = schema(
    "WorkerSummary", id=_TEXT, name=_TEXT, status=_STATUS, status_change_=_CHANGE, last_seen_=_TEXT, version=_TEXT,
    can_restart=_FLAG,
)  # fmt: skip
_LIST: Final = schema("WorkerList", workers={"type": "array", "items": _SUMMARY})
_SCHEDULE: Final = schema("WorkerSleepSchedule", is_active=_FLAG, days_of_week=_TEXT, start_time=_TEXT, end_time=_TEXT)
FETCH_ALL: Final = Operation("fetchWorkers", {200: ("all of them", _LIST)}, (403, 503), secured=BEARER)
_WORKER: Final = {
    **_SUMMARY,
    "title": "Worker",
    "required": [*_SUMMARY["required"], "ip_address", "platform", "supported_task_types"],
    "properties": {
        **_SUMMARY["properties"],
        "ip_address": _TEXT,
        "platform": _TEXT,
        "supported_task_types": {"type": "array", "items": _TEXT},
        "task": schema(
            "WorkerTask",
            id=_TEXT,
            job_id=_TEXT,
            name=_TEXT,
            status=_TEXT,
            index_in_job=_NUMBER,
            priority=_NUMBER,
            task_type=_TEXT,
            updated=_TEXT,
            steps_completed=_NUMBER,
            steps_total=_NUMBER,
        ),
        "tags": {"type": "array", "items": TAG},
    },
}
FETCH: Final = Operation("fetchWorker", {200: ("the worker", _WORKER)}, (400, 403, 404, 503), secured=BEARER)
DELETE: Final = Operation("deleteWorker", {204: ("gone", None)}, (400, 403, 404, 409, 503), secured=BEARER)
SET_STATUS: Final = Operation(
    "requestWorkerStatusChange", {204: ("asked", None)}, (400, 403, 404, 409, 412, 413, 503), StatusChange,
    secured=BEARER,
)  # fmt: skip
FETCH_SCHEDULE: Final = Operation(
    "fetchWorkerSleepSchedule", {200: ("when it sleeps", _SCHEDULE), 204: ("by no schedule", None)},
    (400, 403, 404, 503), secured=BEARER,
)  # fmt: skip
SET_SCHEDULE: Final = Operation(
    "setWorkerSleepSchedule", {204: ("set", None)}, (400, 403, 404, 409, 413, 503), WorkerSleepSchedule,
    secured=BEARER,
)  # fmt: skip


class Management:
    """Their routes."""

    def __init__(self, gate: Gate, office: Office) -> None:
        self._gate = gate
        self._office = office

    def add(self, router: APIRouter) -> None:
        """Add them."""
        FETCH_ALL.add(router, "GET", "/workers", self.fetch_all)
        FETCH.add(router, "GET", "/workers/{worker_id}", self.fetch)
        DELETE.add(router, "DELETE", "/workers/{worker_id}", self.delete)
        SET_STATUS.add(router, "POST", "/workers/{worker_id}/setstatus", self.set_status)
        FETCH_SCHEDULE.add(router, "GET", "/workers/{worker_id}/sleep-schedule", self.schedule)
        SET_SCHEDULE.add(router, "POST", "/workers/{worker_id}/sleep-schedule", self.set_schedule)

    async def fetch_all(self, request: Request) -> Response:
        """All Flamenco workers of the farm."""
        await self._office.caller(request, Role.VIEWER)
        found = await self._office.workers()
        return JSONResponse({"workers": [_summary(worker) for worker in found]})

    async def fetch(self, request: Request, worker_id: str) -> Response:
        """One worker, with what it runs."""
        await self._office.caller(request, Role.VIEWER)
        worker = await self._office.worker(worker_id)
        more: dict[str, Any] = {
            "ip_address": str(worker.platform.get("address", "")),
            "platform": str(worker.platform.get("os", "")),
            "supported_task_types": worker.kinds,
            "tags": [shown(label) for label in worker.labels],
        }
        if worker.held:
            more["task"] = await self._task(worker.held[0])
        return JSONResponse(_summary(worker) | more)

    async def _task(self, held: HeldView) -> dict[str, Any]:
        """What the worker runs (TaskSummary: their generated clients want all of it)."""
        views = self._gate.farm.views
        (first,) = (await views.tasks(held.job, limit=1)).items
        task = await views.task(held.task)
        return {
            "id": translate.task_uuid(held.task, held.attempt),
            "job_id": translate.job_uuid(held.job),
            "name": held.name,
            "status": "active",
            "index_in_job": held.task - first.id + 1,
            "priority": task.priority,
            "task_type": task.kind,
            "updated": task.changed_at.isoformat(),
            "steps_completed": held.done or 0,
            "steps_total": held.total or 1,
        }

    async def delete(self, request: Request, worker_id: str) -> Response:
        """Forget a worker, and its credential. What it runs is run elsewhere."""
        actor = await self._office.caller(request, Role.OPERATOR)
        worker = await self._office.worker(worker_id)
        if Connection(worker.connection) in PRESENT:
            await self._gate.ask(Depart(worker.id, reason=f"removed by {actor}"))
        await self._gate.ask(RemoveWorker(worker.id, actor))
        token, _ = await self._gate.shelf.find(worker_id.lower())
        if token is not None and token.revoked_at is None:
            await self._gate.ask(RevokeToken(token.name, actor))
        return Response(status_code=204)

    async def set_status(self, request: Request, worker_id: str) -> Response:
        """Ask the worker to be something else, at once or when its task is done."""
        actor = await self._office.caller(request, Role.OPERATOR)
        worker = await self._office.worker(worker_id)
        wish = await read(request, StatusChange)
        asked = translate.ASKED.get(wish.status)
        if asked is None:
            raise Fault(400, f"status: nobody can be asked to be {wish.status!r}")
        if asked is Asked.RESTART and not worker.can_restart:
            raise Fault(412, "the worker cannot restart by itself")
        await self._gate.ask(RequestWorkerState(worker.id, RequestedState(asked), actor, wish.is_lazy))
        return Response(status_code=204)

    async def schedule(self, request: Request, worker_id: str) -> Response:
        """When the worker sleeps."""
        await self._office.caller(request, Role.VIEWER)
        schedule = (await self._office.worker(worker_id)).sleep.schedule
        if schedule is None or not schedule.asleep:
            return Response(status_code=204)
        first = schedule.asleep[0]
        days = " ".join(day[:2] for day in first.days)
        return JSONResponse({"is_active": True, "days_of_week": days, "start_time": first.start, "end_time": first.end})

    async def set_schedule(self, request: Request, worker_id: str) -> Response:
        """Let the worker sleep by this schedule, from now on; an end before the start is on the next day."""
        actor = await self._office.caller(request, Role.OPERATOR)
        worker = await self._office.worker(worker_id)
        wish = await read(request, WorkerSleepSchedule)
        zone = worker.sleep.schedule.zone if worker.sleep.schedule is not None else "UTC"
        await self._gate.ask(SetSleepSchedule(worker.id, _schedule(wish, zone), actor))
        return Response(status_code=204)


def _summary(worker: WorkerView) -> dict[str, Any]:
    asked = worker.asked
    change = {"status": translate.TOLD[Asked(asked.state)], "is_lazy": asked.lazy} if asked is not None else None
    seen = worker.last_seen_at
    return {
        "id": worker.foreign_id,
        "name": worker.hostname,
        "status": translate.status_of(Connection(worker.connection), Duty(worker.duty)),
        **({"status_change": change} if change is not None else {}),
        **({"last_seen": seen.isoformat()} if seen is not None else {}),
        "version": translate.version_of(worker.software),
        "can_restart": worker.can_restart,
    }


def _schedule(wish: WorkerSleepSchedule, zone: str) -> Mapping[str, Any] | None:
    if not wish.is_active:
        return None
    start, end = wish.start_time or "00:00", wish.end_time or "24:00"
    if start == end:
        raise Fault(400, "end_time is start_time: the worker would never sleep")
    short = {day[:2]: day for day in DAYS}
    words = wish.days_of_week.lower().split()
    unknown = [word for word in words if word not in short]
    if unknown:
        raise Fault(400, f"days_of_week: {unknown[0]!r} is none of {' '.join(short)}")
    asleep = {"days": [day for two, day in short.items() if two in words], "start": start, "end": end}
    return {"zone": zone, "asleep": [asleep], "lazy": False, "within_s": None}
