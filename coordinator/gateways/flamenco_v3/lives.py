"""Workers come, go, and change their state (Flamenco 3 API, tag worker)."""

from typing import Final
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from coordinator.domain.access import digest_of
from coordinator.domain.worker import Duty
from coordinator.gateways.flamenco_v3 import translate
from coordinator.gateways.flamenco_v3.answers import Operation, forbidden, schema
from coordinator.gateways.flamenco_v3.door import Door
from coordinator.gateways.flamenco_v3.translate import PROTOCOL, WORKER_STATUSES
from coordinator.gateways.flamenco_v3.wire import WorkerRegistration, WorkerSignOn, WorkerStateChanged
from coordinator.gateways.kit import Fault, Gate, read
from coordinator.operations.access import Enlist
from coordinator.operations.foreign import Arrive, Depart
from coordinator.operations.pulling import Look, Turn
from coordinator.operations.requests import ConflictError

_TEXT: Final = {"type": "string"}
_STATUS: Final = {"type": "string", "enum": list(WORKER_STATUSES)}
CHANGE: Final = schema("WorkerStateChange", status_requested=_STATUS)
_REGISTERED: Final = schema(
    "RegisteredWorker",
    uuid=_TEXT,
    name=_TEXT,
    address=_TEXT,
    status=_STATUS,
    platform=_TEXT,
    software=_TEXT,
    supported_task_types={"type": "array", "items": _TEXT},
)
REGISTER: Final = Operation(
    "registerWorker", {200: ("registered", _REGISTERED)}, (400, 403, 413, 503), WorkerRegistration, secured=None
)
SIGN_ON: Final = Operation("signOn", {200: ("what it is to be", CHANGE)}, (400, 403, 413, 503), WorkerSignOn)
SIGN_OFF: Final = Operation("signOff", {204: ("gone", None)}, (403, 503))
STATE: Final = Operation("workerState", {200: ("what it is to be", CHANGE), 204: ("as it is", None)}, (403, 503))
STATE_CHANGED: Final = Operation("workerStateChanged", {204: ("noted", None)}, (400, 403, 413, 503), WorkerStateChanged)


def change(status: str, code: int = 200) -> Response:
    """Be in this state."""
    return JSONResponse({"status_requested": status}, code)


def address_of(request: Request) -> str:
    """Where the call comes from."""
    return request.client.host if request.client else ""


class Lives:
    """Their routes."""

    def __init__(self, gate: Gate, door: Door) -> None:
        self._gate = gate
        self._door = door
        self._open = gate.settings.get("flamenco_registration", "open") == "open"

    def add(self, router: APIRouter) -> None:
        """Add them."""
        REGISTER.add(router, "POST", "/register-worker", self.register)
        SIGN_ON.add(router, "POST", "/sign-on", self.sign_on)
        SIGN_OFF.add(router, "POST", "/sign-off", self.sign_off)
        STATE.add(router, "GET", "/state", self.state)
        STATE_CHANGED.add(router, "POST", "/state-changed", self.state_changed)

    async def register(self, request: Request) -> Response:
        """Register a worker, under a secret that it has made up."""
        if not self._open:
            raise Fault(403, "registration is closed: ask this farm's operator for the worker's credentials")
        said = await read(request, WorkerRegistration)
        uuid, address = translate.fresh_uuid(), address_of(request)
        portrait = translate.portrait_of(
            uuid, name=said.name, address=address, types=said.supported_task_types, platform=said.platform
        )
        await self._gate.ask(
            Enlist(
                worker=translate.name_of(said.name, address, said.platform),
                otherwise=translate.other_name_of(said.name, uuid),
                gateway=PROTOCOL,
                prefix=uuid,
                digest=digest_of(said.secret),
                portrait=portrait,
                instance=uuid4(),
                actor=f"register-worker@{address}",
            )
        )
        answer = {
            "uuid": uuid,
            "name": said.name,
            "address": address,
            "status": "offline",
            "platform": said.platform,
            "software": "",
            "supported_task_types": list(portrait.kinds or ()),
        }
        return JSONResponse(answer)

    async def sign_on(self, request: Request) -> Response:
        """Begin to work: another life of the worker."""
        caller = await self._door.caller(request)
        said = await read(request, WorkerSignOn)
        portrait = translate.portrait_of(
            caller.prefix,
            name=said.name,
            address=address_of(request),
            types=said.supported_task_types,
            version=said.software_version,
            can_restart=said.can_restart,
        )
        arrival = Arrive(caller.subject or "", portrait, uuid4(), duty=Duty.STARTING, keeps=True)
        try:
            standing = await self._gate.ask(arrival)
        except ConflictError:
            raise forbidden("the worker has registered again: this credential is void") from None
        return change(translate.first_status(standing))

    async def sign_off(self, request: Request) -> Response:
        """Go. What the worker runs, others get; what it was is remembered."""
        worker = await self._door.worker(request)
        await self._door.ask(Depart(worker, reason="signed off", remembers=True))
        return Response(status_code=204)

    async def state(self, request: Request) -> Response:
        """What the worker is asked to be, if it is not."""
        told = translate.pending(await self._door.ask(Look(await self._door.worker(request))))
        return change(told) if told is not None else Response(status_code=204)

    async def state_changed(self, request: Request) -> Response:
        """The worker is in another state now."""
        worker = await self._door.worker(request)
        status = (await read(request, WorkerStateChanged)).status
        if status not in translate.DUTIES:
            raise Fault(400, f"status: {status!r} is none of {', '.join(WORKER_STATUSES)}")
        duty = translate.DUTIES[status]
        if duty is None:
            await self._door.ask(Depart(worker, reason=f"said that it is {status}"))
        else:
            await self._door.ask(Turn(worker, duty, translate.meant_by(status)))
        return Response(status_code=204)
