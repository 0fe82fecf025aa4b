"""The manager's side of Flamenco 1's push: tasks are carried to workers over their own HTTP, and asked for after that.

What a worker does not take is handed back at once, and the worker counts as gone until it answers again: so nothing is
lost, and nothing goes round in circles. Whatever concerns one worker is done one after the other; before each call it
is read what the worker holds, so that what has been told twice, or too late, is done once, or not at all. `/kill` names
no task: it is only called where what the worker holds is to stop, or where it holds nothing and works.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog

from coordinator.domain.attempt import AttemptState
from coordinator.domain.worker import EFFECTS, PRESENT, Duty
from coordinator.gateways.flamenco_v1 import translate
from coordinator.gateways.flamenco_v1.line import Line, UnheardError
from coordinator.gateways.flamenco_v1.wire import TaskUpdate
from coordinator.gateways.kit import Gate
from coordinator.gateways.kit.holdings import Held, Holder
from coordinator.operations.foreign import Depart, Hear, Sign, Standing
from coordinator.operations.requests import RefusedError, UnavailableError
from coordinator.operations.table import Report
from schemas.base import Message
from schemas.task import Assign, AssignedAttempt, Outcome, Revoke, TaskFinished, TaskStarted
from schemas.worker import WorkerStateChanged

log = structlog.get_logger(__name__)

#: A worker that has just said how its task ended may need this long, in seconds, to let go of it.
PAUSES_S: Final = (0.1, 0.3, 1.0, 2.0)
_SERVER_ERRORS: Final = 500


class Pusher:
    """Carries what the writer has to say to Flamenco 1 workers."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._line = Line(str(gate.settings["flamenco_v1_network"]))
        self._every_s = float(gate.settings["flamenco_v1_poll_s"])
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._tasks: set[asyncio.Task[None]] = set()
        #: Whose answer said for the first time that it runs nothing, though it has this to run; or the reverse.
        self._idle: dict[str, tuple[int, int]] = {}
        self._stray: set[str] = set()

    def send(self, worker: str, _epoch: int, commands: Sequence[Message | bytes]) -> None:
        """Carry *commands*, in their order, after what has been handed over for this worker before."""
        for command in commands:
            if isinstance(command, Revoke):
                self._begin(worker, self._stop)
            elif isinstance(command, bytes) and json.loads(command)["type"] == "assign":
                for attempt in Assign.model_validate_json(command).attempts:
                    self._begin(worker, partial(self._give, attempt))

    async def idle(self) -> None:
        """Return when all that was handed over has been said."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def run(self) -> None:
        """Ask all workers how it goes, in their manager's rhythm, for ever."""
        try:
            while True:
                await self.round()
                await asyncio.sleep(self._every_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await self._line.close()

    async def round(self) -> None:
        """Ask each worker once."""
        try:
            holders = await self._gate.holdings.holders(translate.PROTOCOL)
        except UnavailableError:
            return
        except Exception:
            log.exception("flamenco_v1_failed")
            return
        await asyncio.gather(*(self._alone(holder.worker, self._look) for holder in holders))

    def _begin(self, worker: str, act: Callable[[Holder], Awaitable[None]]) -> None:
        task = asyncio.create_task(self._alone(worker, act))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _alone(self, worker: str, act: Callable[[Holder], Awaitable[None]]) -> None:
        """Do one thing at a time with a worker, and know what it holds."""
        async with self._locks[worker]:
            try:
                for holder in await self._gate.holdings.holders(translate.PROTOCOL, worker):
                    await act(holder)
            except (RefusedError, UnavailableError) as error:
                log.warning("flamenco_v1", worker=worker, detail=str(error))
            except Exception:
                log.exception("flamenco_v1_failed", worker=worker)

    # --- what the writer says ----------------------------------------------------------------------------------

    async def _give(self, attempt: AssignedAttempt, holder: Holder) -> None:
        held = holder.held
        if held is None or (held.task, held.attempt) != (attempt.task, attempt.attempt):
            return  # it has ended meanwhile
        if held.state is not AttemptState.ASSIGNED:
            return  # it was given before
        why = translate.cannot_run(attempt)
        if why is not None:
            await self._end(holder, held, Outcome.FAILED, f"{why}; let tasks like this one be of another kind")
            return
        order = translate.order_of(attempt, translate.told(held.task, held.key))
        try:
            await self._insist(holder.foreign_id, order)
        except UnheardError as error:
            await self._gone(holder, f"could not be given task {attempt.task}: {error}")
        else:
            started = TaskStarted(task=attempt.task, attempt=attempt.attempt)
            await self._gate.ask(Report(holder.worker, (started,), Sign(active=True)))

    async def _insist(self, foreign_id: str, order: dict[str, str]) -> None:
        """Give the task, again if the worker is busy with letting go of the one before. Raises UnheardError."""
        for pause_s in PAUSES_S:
            try:
                await self._line.execute(foreign_id, order)
            except UnheardError as error:
                if (error.status or 0) < _SERVER_ERRORS:
                    raise
                await asyncio.sleep(pause_s)
            else:
                return
        await self._line.execute(foreign_id, order)

    async def _stop(self, holder: Holder) -> None:
        if holder.held is not None and holder.held.state is AttemptState.STOPPING:
            await self._kill(holder)

    # --- what the workers say ----------------------------------------------------------------------------------

    async def _look(self, holder: Holder) -> None:
        """Ask a worker how it goes; silence is judged by the writer, but who does not listen is not there."""
        try:
            info = await self._line.info(holder.foreign_id)
        except UnheardError as error:
            if error.refused and holder.connection in PRESENT:
                await self._gone(holder, f"nobody listens at {holder.foreign_id}")
            return
        works = info.get("status") in translate.BUSY
        if works and holder.held is None:
            await self._end_stray(holder)
            return
        self._stray.discard(holder.worker)
        portrait = translate.portrait_of(holder.foreign_id)
        standing = await self._gate.ask(Hear(holder.worker, portrait, Sign(active=works)))
        await self._comply(holder, standing, works=works)
        if holder.held is not None:
            await self._compare(holder, holder.held, info, works=works)

    async def _comply(self, holder: Holder, standing: Standing, *, works: bool) -> None:
        """What it is asked for needs no word of its protocol: it is given nothing, and killed what may not go on."""
        duty = EFFECTS[standing.requested].duty if standing.requested is not None else None
        if duty is None or duty is standing.duty:
            return
        if holder.held is None or standing.lazy or duty is Duty.AWAKE:
            await self._gate.ask(Report(holder.worker, (WorkerStateChanged(duty=duty),)))
        elif works:
            await self._kill(holder)

    async def _compare(self, holder: Holder, held: Held, info: dict[str, Any], *, works: bool) -> None:
        """Hold what it does against what it has to do. Its last word is said once, and may be lost: twice idle, and
        it is over."""
        key = (held.task, held.attempt)
        idle_before = self._idle.pop(holder.worker, None) == key
        if held.state is AttemptState.STOPPING:
            await (self._kill(holder) if works else self._end(holder, held, Outcome.CANCELED))
        elif held.state is AttemptState.RUNNING and works:
            said = TaskUpdate(activity=str(info.get("activity") or "") or None)
            found = await self._gate.holdings.found(held.task, translate.PROTOCOL, holder.foreign_id.partition(":")[0])
            if found is not None and (found.attempt, found.worker) == (held.attempt, holder.worker):
                await self._gate.ask(Report(holder.worker, translate.reports(said, found)))
        elif held.state is AttemptState.RUNNING and idle_before:
            await self._end(holder, held, Outcome.FAILED, "the worker runs nothing, and never said how the task ended")
        elif held.state is AttemptState.RUNNING:
            self._idle[holder.worker] = key

    async def _end_stray(self, holder: Holder) -> None:
        """It works, and has nothing to do: what was taken from it while it was away. At the second look it is ended."""
        if holder.worker not in self._stray:
            self._stray.add(holder.worker)
            return
        self._stray.discard(holder.worker)
        log.warning("flamenco_v1_stray", worker=holder.worker, detail="it runs what is no longer its own: killed")
        await self._kill(holder)

    async def _kill(self, holder: Holder) -> None:
        try:
            await self._line.kill(holder.foreign_id)
        except UnheardError as error:
            log.warning("flamenco_v1_kill", worker=holder.worker, detail=str(error))

    async def _gone(self, holder: Holder, reason: str) -> None:
        await self._gate.ask(Depart(holder.worker, reason=reason))

    async def _end(self, holder: Holder, held: Held, outcome: Outcome, error: str | None = None) -> None:
        finished = TaskFinished(task=held.task, attempt=held.attempt, outcome=outcome, error=error)
        await self._gate.ask(Report(holder.worker, (finished,)))
