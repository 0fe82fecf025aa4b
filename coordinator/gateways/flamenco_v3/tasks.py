"""Workers get tasks, ask whether they may go on, and say what has become of them (Flamenco 3 API, tag worker)."""

from pathlib import Path as File
from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ValidationError

from coordinator.api.bodies import received
from coordinator.gateways.flamenco_v3 import translate
from coordinator.gateways.flamenco_v3.answers import Operation, schema
from coordinator.gateways.flamenco_v3.door import Door
from coordinator.gateways.flamenco_v3.lives import CHANGE, change
from coordinator.gateways.flamenco_v3.translate import TASK_STATUSES, Ref
from coordinator.gateways.flamenco_v3.variables import Variables
from coordinator.gateways.flamenco_v3.wire import UPDATE_BYTES, TaskUpdate
from coordinator.gateways.kit import Fault, Gate, faulty
from coordinator.operations.claiming import Claim
from coordinator.operations.pulling import Look, MayRun, Seen, Tell

_TEXT: Final = {"type": "string"}
_FLAG: Final = {"type": "boolean"}
_NUMBER: Final = {"type": "integer"}
_COMMAND: Final = schema("Command", name=_TEXT, parameters={"type": "object"}, total_step_count=_NUMBER)
_TASK: Final = schema(
    "AssignedTask",
    uuid=_TEXT,
    job=_TEXT,
    name=_TEXT,
    status={"type": "string", "enum": list(TASK_STATUSES)},
    priority=_NUMBER,
    job_priority=_NUMBER,
    job_type=_TEXT,
    task_type=_TEXT,
    commands={"type": "array", "items": _COMMAND},
    steps_completed=_NUMBER,
    steps_total=_NUMBER,
)
_KEEP: Final = schema("MayKeepRunning", mayKeepRunning=_FLAG, reason=_TEXT, statusChangeRequested=_FLAG)
_GIVEN: Final = {
    200: ("a task", _TASK),
    204: ("none just now", None),
    423: ("it must be something else first", CHANGE),
}
SCHEDULE: Final = Operation("scheduleTask", _GIVEN, (403, 409, 503))
_TASK_ID: Final = {"name": "task_id", "in": "path", "required": True, "schema": _TEXT}
MAY_RUN: Final = Operation(
    "mayWorkerRun", {200: ("whether it may go on", _KEEP)}, (400, 403, 503), extra={"parameters": [_TASK_ID]}
)
UPDATE: Final = Operation("taskUpdate", {204: ("noted", None)}, (400, 403, 404, 409, 413, 503), TaskUpdate)


def attempt_of(task_id: str) -> Ref | None:
    """The attempt that a path names; None when it is none of ours. Raises Fault 400."""
    if not translate.is_uuid(task_id):
        raise Fault(400, "task_id is not a UUID")
    return translate.ref_of(task_id)


def known_attempt(task_id: str) -> Ref:
    """The attempt that a path names. Raises Fault 400, 404."""
    ref = attempt_of(task_id)
    if ref is None:
        raise Fault(404, "there is no such task")
    return ref


def own(seen: Seen) -> Seen:
    """What a worker is told of its own attempt. Raises Fault 404, 409."""
    if not seen.known:
        raise Fault(404, "there is no such task")
    if not seen.own:
        raise Fault(409, "the task is assigned to another worker")
    return seen


class Tasks:
    """Their routes."""

    def __init__(self, gate: Gate, door: Door) -> None:
        self._gate = gate
        self._door = door
        path = gate.settings.get("flamenco_variables")
        self._variables = Variables(File(path) if path else None)

    def add(self, router: APIRouter) -> None:
        """Add them."""
        MAY_RUN.add(router, "GET", "/task/{task_id}/may-i-run", self.may_run)
        SCHEDULE.add(router, "POST", "/task", self.schedule)
        UPDATE.add(router, "POST", "/task/{task_id}", self.update)

    async def schedule(self, request: Request) -> Response:
        """Give the worker a task: the one that it has, or another."""
        claimed = await self._door.ask(Claim(await self._door.worker(request)))
        standing = claimed.standing
        told = translate.instead_of_work(standing)
        if told is not None:
            return change(told, 423)
        if not translate.works(standing):
            status = translate.status_of(standing.connection, standing.duty)
            raise Fault(409, f'worker is in state "{status}", requires state "awake" to execute tasks')
        if not claimed.handed:
            return Response(status_code=204)
        handed, platform = claimed.handed[0], str(standing.platform.get("os", ""))
        commands = [translate.command_of(command) for command in handed.spec["commands"]]
        filled = [{**one, "parameters": self._variables.replaced(one["parameters"], platform)} for one in commands]
        return JSONResponse(translate.task_of(handed, filled))

    async def may_run(self, request: Request) -> Response:
        """Whether the worker may go on with its task, and whether it is to be something else."""
        worker = await self._door.worker(request)
        ref = attempt_of(request.path_params["task_id"])
        if ref is None:
            await self._door.ask(Look(worker))
            return JSONResponse(translate.keep_of(None))
        seen = await self._door.ask(MayRun(worker, *ref))
        return JSONResponse(translate.keep_of(seen))

    async def update(self, request: Request, task_id: str) -> Response:
        """What becomes of the worker's task."""
        worker = await self._door.worker(request)
        ref = known_attempt(task_id)
        said = _read(await received(request, UPDATE_BYTES))
        refused = translate.NOT_THEIRS.get(said.task_status or "")
        if refused is not None:
            own(await self._door.ask(MayRun(worker, *ref)))
            raise Fault(400, refused)
        if said.log:
            await self._gate.note(worker, *ref, said.log)
        seen = own(await self._door.ask(_told(worker, ref, said)))
        if not seen.taken:
            raise Fault(409, f"the task is not yours any more: it is {seen.state}")
        return Response(status_code=204)


def _read(body: bytes) -> TaskUpdate:
    try:
        said = TaskUpdate.parse(body)
    except ValidationError as error:
        raise faulty(error) from None
    except (ValueError, RecursionError):
        raise Fault(400, "the body is not JSON") from None
    if said.task_status is not None and said.task_status not in TASK_STATUSES:
        raise Fault(400, f"taskStatus: {said.task_status!r} is none of {', '.join(TASK_STATUSES)}")
    return said


def _told(worker: str, ref: Ref, said: TaskUpdate) -> Tell:
    return Tell(
        worker,
        *ref,
        runs=said.task_status == "active",
        done=said.steps_completed,
        activity=said.activity,
        outcome=translate.OUTCOMES[said.task_status] if said.task_status else None,
    )
