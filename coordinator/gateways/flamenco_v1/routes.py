"""Flamenco 1's paths (Flamenco 1 API). It asks nobody who he is: a worker is whoever calls from the worker's address.

Where the document shows a body under the status 204, which has none, the real manager is followed.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, Protocol, TypeVar
from uuid import uuid4

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError

from coordinator.domain.task import FINISHED
from coordinator.gateways.flamenco_v1 import translate
from coordinator.gateways.flamenco_v1.line import Line, UnheardError
from coordinator.gateways.flamenco_v1.pushing import Pusher
from coordinator.gateways.flamenco_v1.wire import MOST, NewTask, NewWorker, TaskUpdate, WorkerUpdate, read, read_update
from coordinator.gateways.kit import Fault, Gate, Gateway, described
from coordinator.gateways.kit.bodies import faulty
from coordinator.gateways.kit.holdings import Found, Holder
from coordinator.operations.foreign import Arrive, Sign
from coordinator.operations.requests import CancelTasks, RequeueTasks, SubmitJob
from coordinator.operations.table import Report
from schemas.job import JobSpec
from schemas.worker import WorkerStateChanged

_ACTOR: Final = translate.PROTOCOL
_FAULT: Final = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string"}, "status": {"type": "integer"}},
}
_ANY: Final = {"type": "object"}
_INFO: Final = ("hostname", "mac_address", "system", "update_frequent", "update_less_frequent")
Route = TypeVar("Route", bound=Callable[..., Any])
Number = Annotated[int, Path(ge=0, lt=MOST)]


class Operation(Protocol):
    """Registers an operation: its call and name, its (status, words, whether there is a body), and what it reads."""

    def __call__(  # noqa: D102
        self, call: str, name: str, ok: tuple[int, str, bool], model: type[BaseModel] | None = None
    ) -> Callable[[Route], Route]: ...


def tell(fault: Fault) -> Response:
    """A fault as Flask's helpers said it."""
    return JSONResponse({"message": fault.detail, "status": fault.status}, fault.status, headers=dict(fault.headers))


def _answers(status: int, words: str, body: bool) -> dict[int | str, dict[str, Any]]:  # noqa: FBT001 - a table's column
    fault = {"application/json": {"schema": _FAULT}}
    told = {400: "malformed", 403: "not for you", 404: "unknown", 409: "not now", 413: "too large", 503: "not now"}
    ok: dict[str, Any] = {"description": words} | ({"content": {"application/json": {"schema": _ANY}}} if body else {})
    return {status: ok, **{code: {"description": word, "content": fault} for code, word in told.items()}}


def _body(model: type[BaseModel] | None) -> dict[str, Any]:
    if model is None:
        return {}
    content = {kind: {"schema": described(model)} for kind in ("application/json", "application/x-www-form-urlencoded")}
    return {"requestBody": {"required": True, "content": content}}


def router(gate: Gate) -> APIRouter:
    """The operations of the document."""
    made = APIRouter(tags=["manager"])
    operation = _operations(made)
    _tasks(gate, operation)
    _workers(gate, operation, Line(str(gate.settings["flamenco_v1_network"])))
    return made


def _operations(made: APIRouter) -> Operation:
    def operation(
        call: str, name: str, ok: tuple[int, str, bool], model: type[BaseModel] | None = None
    ) -> Callable[[Route], Route]:
        method, path = call.split()

        def register(function: Route) -> Route:
            made.add_api_route(
                path,
                function,
                methods=[method],
                operation_id=name,
                status_code=ok[0],
                responses=_answers(*ok),
                response_class=Response,
                openapi_extra=_body(model),
            )
            return function

        return register

    return operation


def _tasks(gate: Gate, operation: Operation) -> None:
    @operation("POST /tasks", "create_task", (202, "It will be run", True), NewTask)
    async def create_task(request: Request) -> Response:
        """Take a task of a Flamenco 1 server; one that has ended is run again."""
        task = await read(request, NewTask)
        return JSONResponse(await _submit(gate, task), 202)

    @operation("PATCH /tasks/{number}", "update_task", (204, "Noted", False), TaskUpdate)
    async def update_task(request: Request, number: Number) -> Response:
        """How a worker's task goes, or how it has ended."""
        update = await read_update(request, TaskUpdate, gate.farm.large_bodies)
        if isinstance(update.status, str) and update.status not in translate.OUTCOMES and not _is_number(update.status):
            raise Fault(400, f"status: a worker says {', '.join(translate.OUTCOMES)} of its task")
        found = await _find(gate, number, str(translate.host_of(_peer(request)) or ""))
        await _note(gate, found, update)
        return Response(status_code=204)

    @operation("DELETE /tasks/{number}", "delete_task", (202, "It is stopped", True))
    async def delete_task(number: Number) -> Response:
        """Cancel a task that came through this gateway; where a worker runs it, it is killed. Its server reads the
        answer as JSON, whatever it is."""
        if not isinstance(translate.sought(number), str):
            raise Fault(403, f"task {number} did not come from here: it is canceled with `farmhand tasks cancel`")
        found = await _find(gate, number, "")
        if found.state not in FINISHED:
            await gate.ask(CancelTasks((found.task,), _ACTOR, "deleted by its server"))
            found = await _find(gate, number, "")
        return JSONResponse(translate.view_of(number, found.state), 202)


def _workers(gate: Gate, operation: Operation, line: Line) -> None:
    @operation("GET /workers", "list_workers", (200, "All workers, by hostname", True))
    async def list_workers() -> Response:
        """All workers."""
        return JSONResponse(translate.listed(list(await gate.holdings.holders(translate.PROTOCOL))))

    @operation("POST /workers", "register_worker", (204, "Welcome", False), NewWorker)
    async def register_worker(request: Request) -> Response:
        """A worker has started, and listens at the address that it calls from."""
        worker = await read(request, NewWorker)
        host = translate.host_of(_peer(request))
        if host is None or not line.allows(host):
            raise Fault(403, f"workers at {_peer(request)} are not taken: FARMHAND_FLAMENCO_V1_NETWORK")
        foreign = translate.foreign_id(host, worker.port)
        kinds, every_s = str(gate.settings["flamenco_v1_kinds"]), float(gate.settings["flamenco_v1_poll_s"])
        portrait = translate.portrait_of(foreign, worker, kinds, every_s)
        await gate.ask(Arrive(translate.name_of(foreign), portrait, uuid4(), Sign(active=True)))
        return Response(status_code=204)

    _worker_itself(gate, operation, line)


def _worker_itself(gate: Gate, operation: Operation, line: Line) -> None:
    @operation("GET /workers/{number}", "worker_info", (200, "What it says of its machine", True))
    async def worker_info(number: Number) -> Response:
        """Ask the worker itself."""
        holder = await _worker(gate, number)
        try:
            info = await line.run_info(holder.foreign_id)
        except UnheardError:
            return JSONResponse({"connection": "offline"})
        return JSONResponse({name: info[name] for name in _INFO if name in info})

    async def update_worker(request: Request, number: Number) -> Response:
        """What a worker says of itself; the answer is its task."""
        update = await read_update(request, WorkerUpdate, gate.farm.large_bodies)
        duty = translate.DUTIES.get(update.status) if isinstance(update.status, str) else None
        if isinstance(update.status, str) and duty is None and not _is_number(update.status):
            raise Fault(400, f"status: a worker is {', '.join(translate.DUTIES)}")
        holder = await _worker(gate, number)
        host, _ = translate.place_of(holder.foreign_id)
        if translate.host_of(_peer(request)) != host:
            raise Fault(403, f"only worker {number} itself may say that")
        events = (WorkerStateChanged(duty=duty),) if duty is not None and duty is not holder.duty else ()
        await gate.ask(Report(holder.worker, events, Sign(active=update.status == "rendering")))
        held = holder.held
        return JSONResponse({"task_id": held and translate.told(held.task, held.key)})

    operation("PATCH /workers/{number}", "edit_worker", (200, "Its task", True), WorkerUpdate)(update_worker)
    operation("PATCH /workers/status/{number}", "edit_worker_status", (200, "Its task", True), WorkerUpdate)(
        update_worker
    )


async def _submit(gate: Gate, task: NewTask) -> dict[str, Any]:
    try:
        spec = JobSpec.model_validate(translate.job_of(task))
    except ValidationError as error:
        raise faulty(error) from None
    submitted = await gate.ask(SubmitJob(spec, _ACTOR))
    found = await _find(gate, task.task_id, "")
    if not submitted.created and found.state in FINISHED:
        await gate.ask(RequeueTasks((found.task,), _ACTOR, "sent again by its server"))
        found = await _find(gate, task.task_id, "")
    return translate.view_of(task.task_id, found.state, task)


async def _note(gate: Gate, found: Found, update: TaskUpdate) -> None:
    """What is said too late, or by somebody else, changes nothing; who goes on with it is told to stop: any other
    status than 204 is that to its worker."""
    mine = found.worker is not None and found.attempt_state in translate.HELD
    if found.worker is not None and mine:
        await gate.ask(Report(found.worker, translate.reports(update, found), Sign(active=True)))
        if found.attempt_state not in translate.LIVE and not translate.is_end(update):
            raise Fault(403, "Task cancelled")
    elif not translate.is_end(update):
        raise Fault(403, "this task is not run by a worker at your address: stop it")


async def _find(gate: Gate, number: int, host: str) -> Found:
    found = await gate.holdings.found(translate.sought(number), translate.PROTOCOL, host)
    if found is None:
        raise Fault(404, f"there is no task {number}")
    return found


async def _worker(gate: Gate, number: int) -> Holder:
    foreign = translate.foreign_of(number)
    holders = await gate.holdings.holders(translate.PROTOCOL, translate.name_of(foreign)) if foreign else ()
    for holder in holders:
        if holder.foreign_id == foreign:
            return holder
    raise Fault(404, f"there is no worker {number}")


def _peer(request: Request) -> str:
    return request.client.host if request.client else ""


def _is_number(status: str) -> bool:
    return status.removeprefix("-").isdecimal()


GATEWAY: Final = Gateway(
    name=translate.PROTOCOL,
    title="Flamenco 1",
    paths=("/tasks", "/workers"),
    router=router,
    tell=tell,
    carrier=Pusher,
    free=True,
)
