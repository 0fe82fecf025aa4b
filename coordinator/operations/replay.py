"""Requests that are more than one event: replaying a parked message, requeueing a large job, filling a template."""

from collections.abc import Callable
from typing import cast

from coordinator.operations.inbox import Inbox, Item
from coordinator.operations.parking import LookAtParked
from coordinator.operations.ports import Delivery
from coordinator.operations.records import Parking
from coordinator.operations.requests import (
    Answer,
    Changed,
    ConflictError,
    ReplayParked,
    Request,
    RequeueFailed,
    SubmitJob,
    Submitted,
)
from coordinator.operations.table import Replay
from coordinator.operations.templates import LookAtTemplate, SubmitTemplate, job_of


class Desk:
    """Where people's requests arrive. *items* decodes a delivery as it is decoded when it comes from its queue."""

    def __init__(self, inbox: Inbox, items: Callable[[Delivery], list[Item]]) -> None:
        self._inbox = inbox
        self._items = items

    async def ask(self, request: Request[Answer]) -> Answer:
        """The answer to *request* when all of it is committed, or `RefusedError`."""
        if isinstance(request, ReplayParked):
            return cast("Answer", await self._replay(request))
        if isinstance(request, SubmitTemplate):
            return cast("Answer", await self._submit_template(request))
        if isinstance(request, RequeueFailed):
            return cast("Answer", await self._requeue_all(request))
        return await self._inbox.ask(request)

    async def _replay(self, request: ReplayParked) -> Changed:
        message = await self._inbox.ask(LookAtParked(request.parked))
        events = tuple(item.event for item in self._items(message.delivery))
        for event in events:
            if isinstance(event, Parking):
                raise ConflictError(f"message {message.id} would be refused again: {event.detail}; it stays parked")
        if len(events) != 1:
            raise ConflictError(f"message {message.id} holds {len(events)} submissions; submit them one by one")
        await self._inbox.ask(Replay(request.parked, request.actor, events))
        return Changed(1)

    async def _submit_template(self, request: SubmitTemplate) -> Submitted:
        """The template is filled outside of the writer; what is submitted is a job like any other."""
        template = await self._inbox.ask(LookAtTemplate(request.name, request.version))
        spec = job_of(template.spec, request.parameters, request.replaced)
        if not spec.submitter:
            spec = spec.model_copy(update={"submitter": request.actor})
        origin = {"template": template.name, "version": template.version}
        return await self._inbox.ask(SubmitJob(spec, request.actor, origin))

    async def _requeue_all(self, request: RequeueFailed) -> Changed:
        done = await self._inbox.ask(request)
        total = done.count
        while done.continues:
            try:
                done = await self._inbox.ask(request)
            except ConflictError:
                break
            total += done.count
        return Changed(total)
