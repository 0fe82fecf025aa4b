"""The agent: carries out what the state machine says, and tells it what happens.

Events of one turn of the event loop share a plan: the journal's part is written in one transaction, then deliveries are
acknowledged, then tasks are started, reports sent, promotions made. So thousands of tiny tasks a second cost a few
transactions and messages each, and whatever was acknowledged or started is in the journal.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine, Mapping
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import httpx
import structlog

from schemas.base import UndecodableError
from schemas.envelope import decode_to_worker
from schemas.task import Assign, Revoke, TaskFinished, TaskOutput, TaskPromoted, TaskStarted, Verdicts
from schemas.topology import event_key, heartbeat_key, log_key
from schemas.worker import BeatAck, RequestState, Reset, Welcome
from worker_agent import outbox as box
from worker_agent.config import Settings, environment_of_tasks
from worker_agent.execution import Execution
from worker_agent.journal import Journal, JournalError, ProcessRow
from worker_agent.machine import Machine
from worker_agent.outbox import Envelopes, Outbox
from worker_agent.outputs import OutputError, discard, promote
from worker_agent.plan import Plan, Ref, Work
from worker_agent.presence import Presence
from worker_agent.processes import boot_id, end_orphans, started_at
from worker_agent.runners.base import InstantRunner, Runner
from worker_agent.runners.registry import find_runners
from worker_agent.spool import Spool
from worker_agent.transport import Address, Consumer, Delivered, Lane, Publisher, RoadError, disposed

log = structlog.get_logger(__name__)

#: News of running tasks (log, progress) are gathered for so long.
GATHER_S: Final = 0.3
#: An `online` without a welcome is said again after so long, doubled up to the second number.
ONLINE_AGAIN_S: Final = (5.0, 60.0)
#: On the way out: for verdicts and promotions, and for the goodbye and the last logs to be taken.
PATIENCE_S: Final = 5.0
GOODBYE_S: Final = 3.0
#: Between tries to publish what the broker does not take, and to promote what cannot be.
RETRY_S: Final = 1.0
PROMOTE_AGAIN_S: Final = (1.0, 60.0)
_LOG_BYTES: Final = 62 * 1024


class Agent:
    """One life of an agent. `run` returns its exit code."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.settings = settings
        self.instance = str(uuid4())
        self.mark = journal.mark
        self._journal = journal
        self._boot_id = boot_id()
        self._address = Address(settings.amqp_url.get_secret_value(), settings.worker, self.instance)
        self._publisher = Publisher(self._address)
        self._consumer = Consumer(self._address, self._delivered, self._joined, patience_s=settings.identity_wait_s)
        self._machine = Machine(settings.slots, can_restart=settings.can_restart)
        self._outbox = Outbox()
        self._envelopes = Envelopes(settings.worker, self.instance)
        self._spool = Spool(settings.data / "spool")
        self._executions: dict[Ref, Execution] = {}
        self._news: set[Execution] = set()
        self._inbox: list[Delivered] = []
        self._starts: dict[int, float] = {}
        self._flush_planned = False
        self._present = asyncio.Event()
        self._welcomed = asyncio.Event()
        self._side: set[asyncio.Task[None]] = set()
        self._exit_code: asyncio.Future[int] | None = None
        self._shut = False
        self.unknown_commands = 0
        self.http: httpx.AsyncClient | None = None
        if settings.coordinator_url is not None:
            base = str(settings.coordinator_url).rstrip("/") + "/"
            self.http = httpx.AsyncClient(base_url=base, timeout=30.0, trust_env=False)
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Take over what may change while the agent runs."""
        self.settings = settings
        self.worker = settings.worker
        self.output_root: Path = settings.outputs
        self.scratch: Path = settings.data / "scratch"
        self.base_environment: Mapping[str, str] = environment_of_tasks(settings)
        found = find_runners(
            executables=settings.executables,
            callables=settings.callables,
            callables_inside=settings.callables_inside,
            interpreter=settings.python,
        )
        self.runners: Mapping[str, Runner] = found.lasting
        self.instant: Mapping[str, InstantRunner] = found.instant
        self.presence = Presence(settings, found.names, self._boot_id)

    def reload(self, settings: Settings) -> None:
        """Other settings, the same life. Identity, broker and directories stay as they are until the next one."""
        fixed = ("worker", "amqp_url", "data_dir", "output_root", "publish_root", "coordinator_url")
        self.configure(settings.model_copy(update={name: getattr(self.settings, name) for name in fixed}))
        self._machine.on_reloaded(settings.slots, can_restart=settings.can_restart)
        self._plan_flush()
        log.info("settings reloaded")

    # --- a life ------------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until it is told to end. Raises `NotAdmittedError` or `IdentityHeldError` in an exception group."""
        self._exit_code = asyncio.get_running_loop().create_future()
        await self._recover()
        roads: list[Coroutine[Any, Any, None]] = [
            self._publisher.run(),
            self._consumer.run(),
            self._ship_events(),
            self._ship_logs(),
            self._beat(),
            self._tick(),
            self._gather_news(),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(road) for road in roads]
                code = await self._exit_code
                for task in tasks:
                    task.cancel()
        finally:
            await self._close()
        return code

    async def _recover(self) -> None:
        rows, mark = self._journal.processes(), self._journal.mark
        orphans = await asyncio.to_thread(end_orphans, rows, mark)
        with contextlib.suppress(JournalError):
            self._journal.forget_processes()
        works = self._journal.works()
        if orphans or works:
            log.info("recovered from a former life", processes_ended=orphans, attempts=len(works))
        self._machine.recover(works, self._journal.ended())
        self._flush()

    async def _close(self) -> None:
        self._shut = True
        for execution in list(self._executions.values()):
            execution.stop(0.0)
        if self._executions:
            await asyncio.wait([execution.ended() for execution in self._executions.values()], timeout=5.0)
        for side in list(self._side):
            side.cancel()
        self._spool.keep()
        if self.http is not None:
            await self.http.aclose()
        await disposed()
        self._journal.close()

    def leave(self, reason: str) -> None:
        """SIGTERM: finish what runs, within `drain_s`; then stop the rest, hand it back, say goodbye, exit."""
        log.info("leaving: nothing new is taken", reason=reason, running=self._machine.unfinished)
        self._machine.leave(reason, 0)
        asyncio.get_running_loop().call_later(self.settings.drain_s, self._deadline, reason)
        self._plan_flush()

    def _deadline(self, reason: str) -> None:
        if self._machine.unfinished:
            log.warning("the time to finish is over: stopping what runs", running=self._machine.unfinished)
            self._machine.stop_all(reason)
            self._plan_flush()

    def abort(self, exit_code: int) -> None:
        """A second signal: stop at once. The journal has what the next life needs."""
        if self._exit_code is not None and not self._exit_code.done():
            self._exit_code.set_result(exit_code)

    # --- what comes in -----------------------------------------------------------------------------------------

    def _joined(self) -> None:
        log.info("joined: the worker's queue is consumed", broker=str(self._address))
        self._machine.on_joined()
        self._present.set()
        self._plan_flush()

    def _delivered(self, delivered: Delivered) -> None:
        self._inbox.append(delivered)
        self._plan_flush()

    def _read(self, delivered: Delivered) -> None:
        try:
            envelope, unknown = decode_to_worker(delivered.body)
        except UndecodableError as error:
            log.error("a message of the coordinator cannot be read and is dropped", problem=str(error))
            return
        if unknown:
            self.unknown_commands += unknown
            log.warning("commands of unknown type ignored; is the coordinator newer?", count=unknown)
        if envelope.worker != self.settings.worker:
            log.error("a message for another worker is dropped", worker=envelope.worker)
            return
        machine = self._machine
        for command in envelope.commands:
            match command:
                case Assign():
                    machine.on_assign(envelope.epoch, command.attempts)
                case Verdicts():
                    machine.on_verdicts(command.verdicts)
                case Revoke():
                    machine.on_revoke(command.attempts)
                case Welcome() | Reset() if delivered.old:
                    pass
                case Welcome():
                    machine.on_welcome(command)
                    self._envelopes.epoch = machine.epoch
                    self._welcomed.set()
                    log.info("welcomed", epoch=machine.epoch, heartbeat_s=machine.heartbeat_s)
                case Reset():
                    log.info("reset by the coordinator", reason=command.reason)
                    machine.on_reset()
                case RequestState():
                    log.info("state requested", state=command.state, reason=command.reason, actor=command.actor)
                    machine.on_request(command)
                case BeatAck():
                    pass

    # --- plans ---------------------------------------------------------------------------------------------------

    def _plan_flush(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        inbox, self._inbox = self._inbox, []
        for delivered in inbox:
            self._read(delivered)
        plan = self._machine.take_plan()
        try:
            self._journal.apply(plan)
        except JournalError as error:
            log.error(str(error))
            self._machine.on_journal_failed(plan.taken, str(error))
            self._plan_flush()
        self._acknowledge(inbox)
        self._carry_out(plan)

    def _acknowledge(self, inbox: list[Delivered]) -> None:
        """The last delivery of each channel stands for all before it."""
        for delivered in {id(one.channel): one for one in inbox}.values():
            self._aside(delivered.acknowledge())

    def _carry_out(self, plan: Plan) -> None:
        for work in plan.sends:
            if work.report is not None:
                self._outbox.put((box.FINISHED, work.task, work.attempt), work.report)
        if plan.online:
            self._say_online()
        for change in plan.announces:
            self._outbox.put((box.STATE, 0, 0), change.model_dump_json().encode())
        for stop in plan.stops:
            execution = self._executions.get(stop.work.ref)
            if execution is not None:
                execution.stop(stop.grace_s)
        for work in plan.runs:
            if work.report is None:
                self._start(work)
        for work in plan.restarted:
            self._say_started(work)
        for work in plan.promotes:
            self._aside(self._promote(work))
        for work in plan.discards:
            self._aside(asyncio.to_thread(discard, self.output_root, work.directory or ""))
        if plan.settled:
            self._aside(self._be_patient())
        if plan.goodbye is not None:
            self._aside(self._say_goodbye(plan.goodbye.model_dump_json().encode()))
        if plan.exit_code is not None:
            self.abort(plan.exit_code)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* beside the rest; it handles its own errors."""
        task = asyncio.create_task(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    def _say_online(self) -> None:
        event = self.presence.online(self._machine.duty, self._machine.holds())
        self._outbox.put((box.ONLINE, 0, 0), event)

    async def _be_patient(self) -> None:
        """Verdicts and promotions may still come, when there is anybody to give them."""
        if self._publisher.ready.is_set():
            await asyncio.sleep(PATIENCE_S)
        self._machine.on_patience_over()
        self._plan_flush()

    async def _say_goodbye(self, event: bytes) -> None:
        self._shut = True
        self._outbox.put((box.OFFLINE, 0, 0), event)
        confirmed = False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await self._outbox.empty()
                confirmed = True
                await self._spool.empty()
        self._machine.on_goodbye_sent(confirmed=confirmed)
        log.info("goodbye" if confirmed else "the broker has not taken the goodbye; the journal keeps what is open")
        self._plan_flush()

    # --- attempts ------------------------------------------------------------------------------------------------

    def _start(self, work: Work) -> None:
        if work.spec is None:
            return
        execution = Execution(work, work.spec, self)
        finished = execution.run_now()
        if finished is not None:
            self._machine.on_ended(finished)
            self._plan_flush()
            return
        self._executions[work.ref] = execution
        self._say_started(work)
        execution.start().add_done_callback(lambda task: self._ended(execution, task))

    def _say_started(self, work: Work) -> None:
        started = TaskStarted(task=work.task, attempt=work.attempt)
        self._outbox.put((box.STARTED, work.task, work.attempt), started.model_dump_json().encode())

    def _ended(self, execution: Execution, task: "asyncio.Task[TaskFinished | None]") -> None:
        del self._executions[execution.work.ref]
        self._tell(execution)
        self._news.discard(execution)
        finished = None if task.cancelled() else task.result()
        if finished is not None:
            self._machine.on_ended(finished)
        elif not self._shut:
            self._machine.on_stopped(execution.stopped())
        self._plan_flush()

    async def _promote(self, work: Work) -> None:
        finished = TaskFinished.model_validate_json(work.report or b"")
        pause_s, longest_s = PROMOTE_AGAIN_S
        while True:
            try:
                path = await asyncio.to_thread(
                    promote,
                    self.output_root / (work.directory or ""),
                    self.settings.published,
                    work.promote or "",
                    finished.outputs,
                )
            except (OutputError, ValueError) as error:
                log.error("promotion given up", task=work.task, attempt=work.attempt, problem=str(error))
                self._machine.on_promoted(work.ref)
                self._plan_flush()
                return
            except OSError as error:
                log.error("promotion failed; trying again", task=work.task, problem=str(error), in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(longest_s, pause_s * 2)
            else:
                event = TaskPromoted(task=work.task, attempt=work.attempt, path=str(path)[:4000])
                self._outbox.put((box.PROMOTED, work.task, work.attempt), event.model_dump_json().encode())
                return

    # --- the host of executions --------------------------------------------------------------------------------

    def log_events(self, events: list[bytes]) -> None:
        """Send these log events."""
        self._spool.put(events)

    def touched(self, execution: Execution) -> None:
        """It has news: they are gathered for a short while."""
        self._news.add(execution)

    def produced(self, output: TaskOutput) -> None:
        """A file is worth showing before the end."""
        key = (f"{box.OUTPUT}:{output.file.name}", output.task, output.attempt)
        self._outbox.put(key, output.model_dump_json().encode())

    def spawned(self, ref: Ref, pid: int) -> None:
        """Journal the process: should the agent die, the next one ends it."""
        self._starts[pid] = started = started_at(pid)
        with contextlib.suppress(JournalError):
            self._journal.spawned(ProcessRow(*ref, pid, started, self._boot_id))

    def reaped(self, pid: int) -> None:
        """It is gone."""
        self._journal.reaped(pid, self._starts.pop(pid, 0.0))

    def _tell(self, execution: Execution) -> None:
        progress = execution.news()
        if progress is not None:
            key = (box.PROGRESS, progress.task, progress.attempt)
            self._outbox.put(key, progress.model_dump_json(exclude_none=True).encode())

    # --- loops ---------------------------------------------------------------------------------------------------

    async def _gather_news(self) -> None:
        while True:
            await asyncio.sleep(GATHER_S)
            news, self._news = self._news, set()
            for execution in news:
                self._tell(execution)

    async def _ship_events(self) -> None:
        key = event_key(self.settings.worker)
        while True:
            await self._present.wait()
            await self._publisher.ready.wait()
            events = await self._outbox.take()
            left = dict(events)
            try:
                for keys, body in self._envelopes.parts(events):
                    await self._publisher.publish(Lane.EVENTS, key, body)
                    for sent in keys:
                        del left[sent]
                        if sent[0] == box.PROMOTED:
                            self._machine.on_promoted((sent[1], sent[2]))
                            self._plan_flush()
                self._outbox.done()
            except RoadError as error:
                self._outbox.put_back(left)
                log.warning("events wait", problem=str(error), events=len(left))
                await asyncio.sleep(RETRY_S)

    async def _ship_logs(self) -> None:
        key = log_key(self.settings.worker)
        while True:
            events = await self._spool.take(_LOG_BYTES)
            try:
                await self._publisher.publish(Lane.LOGS, key, self._envelopes.wrap(events))
                self._spool.done()
            except RoadError:
                self._spool.keep()
                await asyncio.sleep(RETRY_S)

    async def _beat(self) -> None:
        key = heartbeat_key(self.settings.worker)
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._machine.heartbeat_s * random.uniform(0.9, 1.1)):
                    await self._welcomed.wait()
            self._welcomed.clear()
            stats = await asyncio.to_thread(self.presence.sample)
            if self._machine.epoch == 0 or self._shut or not self._publisher.ready.is_set():
                continue
            # What is held and the sequence number belong together: nothing may happen between them.
            beat = self.presence.heartbeat(self._machine.duty, self._machine.holds(), stats)
            body = self._envelopes.wrap([beat])
            with contextlib.suppress(RoadError):
                await self._publisher.publish(Lane.BEATS, key, body)

    async def _tick(self) -> None:
        again_s, longest_s = ONLINE_AGAIN_S
        online_s = time.monotonic()
        while True:
            await asyncio.sleep(RETRY_S)
            now_s = time.monotonic()
            self._machine.on_tick(now_s)
            if self._machine.welcomed or not self._publisher.ready.is_set():
                again_s, online_s = ONLINE_AGAIN_S[0], now_s
            elif now_s - online_s >= again_s:
                again_s, online_s = min(longest_s, again_s * 2), now_s
                self._machine.say_online()
            if self._machine.journal_trouble and self._journal.probe():
                self._machine.on_journal_healed()
            self._plan_flush()
