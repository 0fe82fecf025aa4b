"""Tasks for the workers of one broker: published once each, to the queue that the one worker consumes, and taken back.

What is published twice may run twice. What the broker has confirmed is never published again: if its worker never has
it, the farm loses the attempt, and the next one has another id. Of what another coordinator may have published it is
looked whether the queue or the worker has it, twice, before it is. A worker gets no more than its pool runs at once.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import structlog

from coordinator.domain.attempt import AttemptState
from coordinator.domain.worker import EFFECTS, PRESENT, Asked, Duty
from coordinator.gateways.celery import translate
from coordinator.gateways.celery.control import Control
from coordinator.gateways.kit import Gate
from coordinator.gateways.kit.holdings import Hold
from coordinator.operations.ports import Guest, Post
from coordinator.operations.requests import RefusedError, UnavailableError
from coordinator.operations.table import Report
from schemas.base import Message
from schemas.task import Assign, AssignedAttempt, Outcome, Revoke, TaskFinished, TaskStarted
from schemas.worker import RequestState, WorkerStateChanged

log = structlog.get_logger(__name__)

#: Seconds between two looks at what workers hold.
LOOK_S: Final = 15.0
_REMEMBERED: Final = 10_000


class Giving:
    """Carries what the writer has to say to the workers of one broker."""

    def __init__(self, gate: Gate, guest: Guest, control: Control, realm: str, prefix: str) -> None:
        self._gate = gate
        self._guest = guest
        self._control = control
        self._realm = realm
        self._tag = translate.tag_of(prefix)
        self._exchange = translate.exchange_of(prefix)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        #: Whose end we have asked for.
        self.revoked: dict[tuple[int, int], None] = {}
        #: What the broker has confirmed; what may have been published by others, and was found nowhere.
        self._published: dict[tuple[int, int], None] = {}
        self._absent: set[tuple[int, int]] = set()
        #: What its worker did not have at the last look; inboxes of workers that are gone, emptied.
        self._missing: set[tuple[int, int]] = set()
        self._emptied: set[str] = set()

    async def give(self, worker: str, commands: Sequence[Message | bytes]) -> None:
        """Do what *commands* say, in their order, one worker's after one another."""
        async with self._locks[worker]:
            for command in commands:
                if isinstance(command, Revoke):
                    await self._revoke(worker, [(one.task, one.attempt) for one in command.attempts])
                elif isinstance(command, RequestState):
                    await self._comply(worker, command)
                elif isinstance(command, bytes) and json.loads(command)["type"] == "assign":
                    await self._assign(worker, Assign.model_validate_json(command).attempts)

    async def _assign(self, worker: str, attempts: Sequence[AssignedAttempt]) -> None:
        holds = {(one.task, one.attempt): one for one in await self._gate.holdings.holds(translate.PROTOCOL, worker)}
        for attempt in attempts:
            hold = holds.get((attempt.task, attempt.attempt))
            if hold is None or hold.state is not AttemptState.ASSIGNED:
                continue  # it has ended meanwhile, or runs
            why = translate.cannot_run(attempt)
            if why is not None:
                finished = TaskFinished(
                    task=hold.task, attempt=hold.attempt, outcome=Outcome.FAILED,
                    error=f"{why}; let tasks like this one be of another kind",
                )  # fmt: skip
                await self._gate.ask(Report(worker, (finished,)))
            else:
                await self._publish(hold, attempt)

    async def _publish(self, hold: Hold, attempt: AssignedAttempt) -> None:
        inbox = hold.platform.get("inbox")
        if not isinstance(inbox, str):
            return  # it has just come back: told again in a moment
        uuid = translate.uuid_of(self._tag, hold.task, hold.attempt)
        key = (hold.task, hold.attempt)
        if hold.sends > 1 and await self._may_have(hold, inbox, uuid):
            return
        headers, body = translate.message_of(attempt, uuid)
        await self._guest.publish(
            Post(self._exchange, inbox, body, headers, correlation_id=uuid, lasting=True, certain=True)
        )
        _remember(self._published, key)
        self._absent.discard(key)

    async def _may_have(self, hold: Hold, inbox: str, uuid: str) -> bool:
        """Whether the worker has it or will, as far as can be known; where it does, and has not said so, it runs."""
        key = (hold.task, hold.attempt)
        depth = await self._guest.depth(inbox)
        if depth is None or depth[0] > 0:
            return depth is not None or key in self._published
        _, hostname = translate.place_of(hold.foreign_id)
        said = await self._control.ask("query_task", {"ids": [uuid]}, [hostname])
        answers = hostname in said
        if uuid in (said[hostname] or {}) if answers else hold.platform.get("pool") == translate.SOLO:
            await self._gate.ask(Report(hold.worker, (TaskStarted(task=hold.task, attempt=hold.attempt),)))
            return True
        if not answers or key in self._published or key not in self._absent:
            self._absent.add(key)
            return True
        return False

    async def _comply(self, worker: str, request: RequestState) -> None:
        """What it is asked for needs no word of its protocol: it is given nothing, and loses what may not go on."""
        duty = EFFECTS[Asked(request.state)].duty
        if duty is None:
            return
        if not request.lazy and duty is not Duty.AWAKE:
            held = await self._gate.holdings.holds(translate.PROTOCOL, worker)
            await self._revoke(worker, [(one.task, one.attempt) for one in held])
        await self._gate.ask(Report(worker, (WorkerStateChanged(duty=duty),)))

    async def _revoke(self, worker: str, attempts: Sequence[tuple[int, int]]) -> None:
        """Have a worker end these. A prefork pool kills the process; others finish what they have begun."""
        for one in attempts:
            _remember(self.revoked, one)
        holders = await self._gate.holdings.holders(translate.PROTOCOL, worker)
        hostnames = [translate.place_of(holder.foreign_id)[1] for holder in holders]
        ids = [translate.uuid_of(self._tag, task, attempt) for task, attempt in attempts]
        await self._control.tell("revoke", {"task_id": ids, "terminate": True, "signal": "SIGTERM"}, hostnames)

    # --- looking after it --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look at what workers hold, for ever."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.look()
            except (UnavailableError, RefusedError) as error:
                log.info("celery_unlooked", detail=str(error))

    async def look(self) -> None:
        """Find what has ended without a word, and what is to stop and does not; empty the inboxes of the dead."""
        holds = [one for one in await self._gate.holdings.holds(translate.PROTOCOL) if self._is_here(one)]
        by_host: defaultdict[str, list[Hold]] = defaultdict(list)
        for hold in holds:
            if hold.connection in PRESENT and hold.state is not AttemptState.ASSIGNED:
                by_host[translate.place_of(hold.foreign_id)[1]].append(hold)
        missing: set[tuple[int, int]] = set()
        if by_host:
            ids = [translate.uuid_of(self._tag, one.task, one.attempt) for some in by_host.values() for one in some]
            said = await self._control.ask("query_task", {"ids": ids}, by_host)
            for hostname, some in by_host.items():
                if isinstance(said.get(hostname), dict):
                    for hold in some:
                        missing |= await self._compare(hold, said[hostname])
        self._missing = missing
        self._absent &= {(one.task, one.attempt) for one in holds}
        await self._empty()

    def _is_here(self, hold: Hold) -> bool:
        return translate.place_of(hold.foreign_id)[0] == self._realm

    async def _compare(self, hold: Hold, known: dict[str, Any]) -> set[tuple[int, int]]:
        """The attempt, when its worker does not have it. At the second look it is over: its last word was lost."""
        key = (hold.task, hold.attempt)
        if translate.uuid_of(self._tag, *key) in known:
            if hold.state is AttemptState.STOPPING:
                await self._revoke(hold.worker, [key])
            return set()
        inbox = str(hold.platform.get("inbox") or "")
        depth = await self._guest.depth(inbox) if inbox else None
        if key not in self._missing or (depth is not None and depth[0] > 0):
            return {key}
        canceled = hold.state is AttemptState.STOPPING
        outcome = Outcome.CANCELED if canceled else Outcome.INTERRUPTED
        error = None if canceled else "the worker does not have it any more, and how it ended was never heard"
        finished = TaskFinished(task=hold.task, attempt=hold.attempt, outcome=outcome, error=error)
        await self._gate.ask(Report(hold.worker, (finished,)))
        return set()

    async def _empty(self) -> None:
        """What waits for a worker that is gone runs elsewhere: it shall not find it when it comes back."""
        for holder in await self._gate.holdings.holders(translate.PROTOCOL):
            inbox = holder.platform.get("inbox")
            if not isinstance(inbox, str) or translate.place_of(holder.foreign_id)[0] != self._realm:
                continue
            if holder.connection in PRESENT:
                self._emptied.discard(inbox)
            elif inbox not in self._emptied and await self._guest.depth(inbox) is not None:
                await self._guest.purge(inbox)
                self._emptied.add(inbox)


def _remember(some: dict[tuple[int, int], None], key: tuple[int, int]) -> None:
    """Add *key* to *some*, of which the oldest are forgotten."""
    some[key] = None
    while len(some) > _REMEMBERED:
        del some[next(iter(some))]
