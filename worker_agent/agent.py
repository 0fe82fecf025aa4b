"""The agent: carries out what the state machine says, and tells it what happens.

Events of one turn of the event loop share a plan: the journal's part is written in one transaction, then deliveries are
acknowledged, then tasks are started, reports sent, promotions made. So thousands of tiny tasks a second cost a few
transactions and messages each, and whatever was acknowledged or started is in the journal.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any, Final
from uuid import uuid4

import structlog

from schemas.base import Message, UndecodableError
from schemas.envelope import decode_to_worker
from schemas.task import Assign, Revoke, TaskFinished, TaskPromoted, Verdicts
from schemas.worker import BeatAck, MachineStats, RequestState, Reset, Welcome, WorkerOffline
from worker_agent import outbox as box
from worker_agent.config import Settings
from worker_agent.execution import Execution
from worker_agent.journal import Journal, JournalError
from worker_agent.leases import Leases, boottime
from worker_agent.machine import EXIT_OK, Machine
from worker_agent.outputs import OutputError, discard, promote
from worker_agent.plan import Plan, Work
from worker_agent.presence import Presence
from worker_agent.processes import boot_id, end_orphans
from worker_agent.shipping import Shipping
from worker_agent.transport import Address, Consumer, Delivered, disposed, lasting
from worker_agent.workshop import Workshop

log = structlog.get_logger(__name__)

TICK_S: Final = 1.0
#: An `online` without a welcome is said again after so long, doubled up to the second number.
ONLINE_AGAIN_S: Final = (5.0, 60.0)
#: On the way out: for verdicts and promotions, and for the goodbye and the last logs to be taken.
PATIENCE_S: Final = 5.0
GOODBYE_S: Final = 3.0
#: Between tries to promote: from the first to the second number, doubled.
PROMOTE_AGAIN_S: Final = (1.0, 60.0)


class Agent:
    """One life of an agent. `run` returns its exit code."""

    def __init__(self, settings: Settings, journal: Journal) -> None:
        self.settings = settings
        self.unknown_commands = 0
        self._journal = journal
        self._boot_id = boot_id()
        address = Address(settings.amqp_url.get_secret_value(), settings.worker, str(uuid4()))
        self._broker = str(address)
        self._consumer = Consumer(address, self._delivered, self._joined, patience_s=settings.identity_wait_s)
        self._shipping = Shipping(address, settings.data / "spool")
        self._leases = Leases()
        self._workshop = Workshop(settings, journal, self._shipping, self._boot_id, self._ended, self._leases)
        self._presence = Presence(settings, self._workshop.offers(), self._boot_id)
        self._machine = Machine(settings.slots, can_restart=settings.can_restart)
        self._inbox: list[Delivered] = []
        self._flush_planned = False
        self._beat_now = asyncio.Event()
        self._side: set[asyncio.Task[None]] = set()
        self._exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._closing = False

    def reload(self, settings: Settings) -> None:
        """Other settings, the same life. Identity, broker and directories stay as they are until the next one."""
        fixed = (
            *("worker", "amqp_url", "data_dir", "output_root", "publish_root"),
            *("coordinator_url", "coordinator_token"),
        )
        self.settings = settings.model_copy(update={name: getattr(self.settings, name) for name in fixed})
        self._workshop.equip(self.settings)
        self._presence = Presence(self.settings, self._workshop.offers(), self._boot_id)
        self._machine.on_reloaded(settings.slots, can_restart=settings.can_restart)
        self._plan_flush()
        log.info("settings reloaded")

    # --- a life ----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """Until it is told to end. Raises `NotAdmittedError` or `IdentityHeldError` in an exception group."""
        await self._recover()
        loops: list[Coroutine[Any, Any, None]] = [
            self._shipping.run(),
            self._shipping.ship_events(self._confirmed),
            self._shipping.ship_logs(),
            self._consumer.run(),
            self._beat(),
            self._tick(),
            self._workshop.gather_news(),
            self._workshop.keep_limits(),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(lasting(loop)) for loop in loops]
                code = await self._exit_code
                for task in tasks:
                    task.cancel()
        finally:
            await self._close()
        return code

    async def _recover(self) -> None:
        orphans = await asyncio.to_thread(end_orphans, self._journal.processes(), self._journal.mark)
        if orphans.left:
            # Not reported as ended: the coordinator waits until their leases are over.
            log.error("exclusive tasks of a former life cannot be ended; see what their processes wait for",
                      attempts=sorted(orphans.left))  # fmt: skip
        else:
            with contextlib.suppress(JournalError):
                self._journal.forget_processes()
        works = [work for work in self._journal.works() if work.ref not in orphans.left]
        if orphans.ended or works:
            log.info("recovered from a former life", processes_ended=orphans.ended, attempts=len(works))
        self._machine.recover(works, self._journal.ended())
        self._flush()

    async def _close(self) -> None:
        self._closing = True
        await self._workshop.close()
        for side in self._side:
            side.cancel()
        self._shipping.close()
        await disposed()
        self._journal.close()

    def leave(self, reason: str) -> None:
        """SIGTERM: finish what runs, within `drain_s`; then stop the rest, hand it back, say goodbye, exit."""
        log.info("leaving: nothing new is taken", reason=reason, running=self._machine.unfinished)
        self._machine.leave(reason, EXIT_OK)
        asyncio.get_running_loop().call_later(self.settings.drain_s, self._deadline, reason)
        self._plan_flush()

    def _deadline(self, reason: str) -> None:
        if self._machine.unfinished:
            log.warning("the time to finish is over: stopping what runs", running=self._machine.unfinished)
            self._machine.stop_all(reason)
            self._plan_flush()

    def abort(self, exit_code: int) -> None:
        """A second signal: stop at once. The journal has what the next life needs."""
        if not self._exit_code.done():
            self._exit_code.set_result(exit_code)

    # --- what comes in ---------------------------------------------------------------------------------------

    def _joined(self) -> None:
        log.info("joined: the worker's queue is consumed", broker=self._broker)
        self._machine.on_joined()
        self._shipping.present()
        self._plan_flush()

    def _delivered(self, delivered: Delivered) -> None:
        self._inbox.append(delivered)
        self._plan_flush()

    def _read(self, delivered: Delivered) -> None:
        try:
            envelope, unknown = decode_to_worker(delivered.body)
        except UndecodableError as error:
            log.warning("a message of the coordinator cannot be read and is dropped", problem=str(error))
            return
        if unknown:
            self.unknown_commands += unknown
            log.warning("commands of unknown type ignored; is the coordinator newer?", count=unknown)
        if envelope.worker != self.settings.worker:
            log.warning("a message for another worker is dropped", worker=envelope.worker)
            return
        for command in envelope.commands:
            # What lay in the queue before we came answers a former life.
            if not (delivered.old and isinstance(command, Welcome | Reset | BeatAck)):
                self._obey(envelope.epoch, command)

    def _obey(self, epoch: int, command: Message) -> None:
        machine = self._machine
        match command:
            case Assign():
                machine.on_assign(epoch, command.attempts)
            case Verdicts():
                machine.on_verdicts(command.verdicts)
            case Revoke():
                machine.on_revoke(command.attempts)
            case Welcome():
                machine.on_welcome(command)
                self._shipping.welcomed(machine.epoch)
                self._beat_now.set()
                log.info("welcomed", epoch=machine.epoch, heartbeat_s=machine.heartbeat_s)
            case Reset():
                log.info("reset by the coordinator", reason=command.reason)
                machine.on_reset()
            case BeatAck() if machine.welcomed and epoch == machine.epoch:
                refs = [(ref.task, ref.attempt) for ref in command.leases]
                machine.on_leased(self._leases.acknowledged(command.seq, command.lease_s, refs))
            case RequestState():
                log.info("state requested", state=command.state, reason=command.reason, actor=command.actor)
                machine.on_request(command)
            case _:
                pass

    # --- plans -----------------------------------------------------------------------------------------------

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
            log.warning("the journal cannot be written", problem=str(error))
            self._machine.on_journal_failed(plan.taken, str(error))
            self._plan_flush()
        # The last delivery of each channel stands for all before it.
        for delivered in {id(one.channel): one for one in inbox}.values():
            self._aside(delivered.acknowledge())
        self._say(plan)
        self._act(plan)
        self._go(plan)

    def _say(self, plan: Plan) -> None:
        shipping = self._shipping
        for work in plan.sends:
            if work.report is not None:
                shipping.say(box.FINISHED, work.report, work.task, work.attempt)
        if plan.online:
            online = self._presence.online(self._machine.duty, self._machine.holds(), self._consumer.connection)
            shipping.say(box.ONLINE, online)
        for change in plan.announces:
            shipping.say(box.STATE, change)
        for work in plan.restarted:
            self._workshop.say_started(work)

    def _act(self, plan: Plan) -> None:
        for stop in plan.stops:
            self._workshop.stop(stop)
        for work in plan.runs:
            self._workshop.start(work)
        if plan.beat:
            self._beat_now.set()
        for work in plan.promotes:
            self._aside(self._promote(work))
        for work in plan.discards:
            self._aside(asyncio.to_thread(discard, self.settings.outputs, work.directory or ""))

    def _go(self, plan: Plan) -> None:
        if plan.settled:
            self._aside(self._be_patient())
        if plan.goodbye is not None:
            self._aside(self._say_goodbye(plan.goodbye))
        if plan.exit_code is not None:
            self.abort(plan.exit_code)

    def _aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Run *work* beside the rest; it handles its own errors."""
        task = asyncio.create_task(work)
        self._side.add(task)
        task.add_done_callback(self._side.discard)

    async def _be_patient(self) -> None:
        """Verdicts and promotions may still come, when there is anybody to give them."""
        if self._shipping.connected:
            await asyncio.sleep(PATIENCE_S)
        self._machine.on_patience_over()
        self._plan_flush()

    async def _say_goodbye(self, event: WorkerOffline) -> None:
        self._closing = True
        self._shipping.say(box.OFFLINE, event)
        confirmed = await self._shipping.flushed(GOODBYE_S)
        self._machine.on_goodbye_sent(confirmed=confirmed)
        log.info("goodbye" if confirmed else "the broker has not taken the goodbye; the journal keeps what is open")
        self._plan_flush()

    # --- attempts --------------------------------------------------------------------------------------------

    def _ended(self, execution: Execution, finished: TaskFinished | None) -> None:
        self._presence.active()
        if finished is not None:
            self._machine.on_ended(finished)
        elif not self._closing:
            self._machine.on_stopped(execution.stopped())
        self._plan_flush()

    async def _promote(self, work: Work) -> None:
        finished = TaskFinished.model_validate_json(work.report or b"")
        source, root = self.settings.outputs / (work.directory or ""), self.settings.published
        pause_s, longest_s = PROMOTE_AGAIN_S
        while True:
            try:
                path = await asyncio.to_thread(promote, source, root, work.promote or "", finished.outputs)
            except OutputError as error:
                log.warning("promotion given up", task=work.task, attempt=work.attempt, problem=str(error))
                self._confirmed((box.PROMOTED, work.task, work.attempt))
                return
            except OSError as error:
                log.warning("promotion failed; trying again", task=work.task, problem=str(error), in_s=pause_s)
                await asyncio.sleep(pause_s)
                pause_s = min(longest_s, pause_s * 2)
            else:
                promoted = TaskPromoted(task=work.task, attempt=work.attempt, path=str(path)[:4000])
                self._shipping.say(box.PROMOTED, promoted, work.task, work.attempt)
                return

    def _confirmed(self, key: box.Key) -> None:
        """The broker has an event: a promotion is over with that."""
        if key[0] == box.PROMOTED:
            self._machine.on_promoted((key[1], key[2]))
            self._plan_flush()

    # --- loops -----------------------------------------------------------------------------------------------

    async def _beat(self) -> None:
        machine = self._machine
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(machine.heartbeat_s * random.uniform(0.9, 1.1)):
                    await self._beat_now.wait()
            self._beat_now.clear()
            stats = await asyncio.to_thread(self._presence.sample)
            offers = await asyncio.to_thread(self._workshop.offers)
            if self._presence.offer(offers) and machine.epoch and not self._closing:
                machine.say_online()
                self._plan_flush()
            if machine.epoch and not self._closing:
                await self._shipping.beat(partial(self._heartbeat, stats))

    def _heartbeat(self, stats: MachineStats, seq: int) -> bytes:
        """The leases of what it lists run from now, if it is acknowledged."""
        self._leases.sent(seq, boottime(), self._machine.exclusive())
        return self._presence.heartbeat(self._machine.duty, self._machine.holds(), stats)

    async def _tick(self) -> None:
        machine = self._machine
        again_s, longest_s = ONLINE_AGAIN_S
        online_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now_s = time.monotonic()
            machine.on_tick(now_s)
            if machine.welcomed or not self._shipping.connected:
                again_s, online_s = ONLINE_AGAIN_S[0], now_s
            elif now_s - online_s >= again_s:
                again_s, online_s = min(longest_s, again_s * 2), now_s
                machine.say_online()
            if machine.journal_trouble and self._journal.probe():
                machine.on_journal_healed()
            self._plan_flush()
