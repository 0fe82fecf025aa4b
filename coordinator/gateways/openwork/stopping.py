"""Stops OpenWork workers that are asked to go: by asking who has their machines.

Their protocol has no word for it: OpenWork itself stops a worker's sandbox by its provider. So the address in
FARMHAND_OPENWORK_STOP_URL is asked, with one POST for each worker:

    {"workerId": "wrk_…", "onlyIfIdle": true, "reason": "idle for 30 minutes", "requestedBy": "idle policy"}

2xx: it is stopped, and only then is it offline here. 409: it is busy, and the question is taken back. Anything else, or
no answer: nothing is known, so nothing is done; it is asked again, until the question has had its time. Who was active
since it was asked is not asked for any more.
"""

import asyncio
from typing import Final

import httpx
import structlog

from coordinator.gateways.kit import Errand, Gate
from coordinator.gateways.openwork import translate
from coordinator.operations.foreign import Depart, Refuse
from coordinator.operations.requests import RefusedError, UnavailableError
from schemas.worker import RequestedState

log = structlog.get_logger(__name__)

EVERY_S: Final = 5.0
_ANSWER_S: Final = 10.0
_AT_ONCE: Final = 20
_BUSY: Final = 409


class Stopper:
    """Has workers stopped."""

    def __init__(self, gate: Gate, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """*url* is who is asked; without one, no worker can be stopped."""
        self._gate = gate
        self._url = url
        self._transport = transport

    async def look(self) -> None:
        """Ask for all that are asked to go now."""
        try:
            errands = await self._gate.errands.to_stop(translate.PROTOCOL)
        except UnavailableError:
            return
        if not errands:
            return
        few = asyncio.Semaphore(_AT_ONCE)
        web = httpx.AsyncClient(timeout=_ANSWER_S, follow_redirects=False, transport=self._transport)
        async with web as client, asyncio.TaskGroup() as group:
            for errand in errands:
                group.create_task(self._run(client, errand, few))

    async def _run(self, client: httpx.AsyncClient, errand: Errand, few: asyncio.Semaphore) -> None:
        async with few:
            try:
                await self._stop(client, errand)
            except (RefusedError, UnavailableError) as error:
                log.warning("openwork_stop", worker=errand.worker, detail=str(error))

    async def _stop(self, client: httpx.AsyncClient, errand: Errand) -> None:
        if errand.if_idle and (errand.open_sessions or (errand.active_at or errand.since) > errand.since):
            await self._refuse(errand, "it was active again")
            return
        if not self._url:
            await self._refuse(errand, "FARMHAND_OPENWORK_STOP_URL is not set: nobody can stop it")
            return
        question = {
            "workerId": errand.foreign_id,
            "onlyIfIdle": errand.if_idle,
            "reason": errand.reason,
            "requestedBy": errand.by,
        }
        try:
            answer = await client.post(self._url, json=question)
        except httpx.HTTPError as error:
            log.warning("openwork_stop", worker=errand.worker, detail=f"no answer: {type(error).__name__}")
            return
        if answer.is_success:
            await self._gate.ask(Depart(errand.worker, reason=f"stopped: {errand.reason or 'as asked'}"))
        elif answer.status_code == _BUSY:
            await self._refuse(errand, "it is busy")
        else:
            log.warning("openwork_stop", worker=errand.worker, detail=f"answered {answer.status_code}")

    async def _refuse(self, errand: Errand, reason: str) -> None:
        await self._gate.ask(Refuse(errand.worker, RequestedState.OFFLINE, reason))
