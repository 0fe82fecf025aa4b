"""Who may manage Flamenco workers, and which of them a UUID means.

Theirs asks nobody who he is. Here it takes an API token of the farm, as a bearer: a viewer's to look, an operator's to
change something; an open farm asks for none.
"""

from typing import Final

from fastapi import Request

from coordinator.domain.access import allows
from coordinator.domain.outcome import Refused
from coordinator.gateways.flamenco_v3 import translate
from coordinator.gateways.flamenco_v3.answers import forbidden
from coordinator.gateways.flamenco_v3.translate import PROTOCOL
from coordinator.gateways.kit import Fault, Gate
from coordinator.operations.requests import NotFoundError
from schemas.roles import Role
from schemas.views import WorkerDetail, WorkerView

BEARER: Final = "api_token"
_PAGE: Final = 500


class Office:
    """Lets operators in, and finds workers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._farm = gate.farm

    async def caller(self, request: Request, needed: Role) -> str:
        """Who calls, if he may. Raises Fault 403."""
        caller = await self._farm.door.caller(request.headers.get("authorization", ""))
        if isinstance(caller, Refused):
            raise forbidden(caller.reason)
        if not allows(caller.role, needed):
            raise forbidden(f"it takes a token of the role {needed}")
        return caller.name or f"http@{request.client.host if request.client else ''}"

    async def workers(self) -> list[WorkerView]:
        """All Flamenco workers of the farm."""
        found: list[WorkerView] = []
        after: str | None = ""
        while after is not None:
            page = await self._farm.views.workers(after=after, limit=_PAGE)
            found += [worker for worker in page.items if worker.protocol == PROTOCOL]
            after = str(page.next) if page.next is not None else None
        return found

    async def worker(self, uuid: str) -> WorkerDetail:
        """The worker with this UUID. Raises Fault 400, 404."""
        if not translate.is_uuid(uuid):
            raise Fault(400, "worker_id is not a UUID")
        token, _ = await self._gate.shelf.find(uuid.lower())
        try:
            if token is not None and token.gateway == PROTOCOL and token.revoked_at is None:
                return await self._farm.views.worker(token.subject or "")
        except NotFoundError:
            pass
        raise Fault(404, "there is no such worker")
