"""What an agent does about what happens to it: a pure state machine.

Each method is an event. It changes the state and adds instructions to a plan; the shell (`worker_agent.agent`) takes
the plan and carries it out: first the journal's part, in one transaction, then the acknowledgements, then the rest. No
I/O, no clock, no chance: time is a field of the events that need it. The promises, walked over by tests:

- an attempt is run once at most, and only after the journal has it;
- a report is kept until its verdict, and nothing else makes an agent forget an attempt that it has run;
- what is known is answered with its state, what was ended before with an interruption, never with a run;
- no more slots are in use than the agent has.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from schemas.task import AssignedAttempt, AttemptRef, Held, Judged, Outcome, Phase, Revocation, TaskFinished, Verdict
from schemas.worker import MAX_HELD, Duty, RequestedState, RequestState, Welcome, WorkerOffline, WorkerStateChanged
from worker_agent.holdings import Holdings
from worker_agent.plan import Plan, Ref, Work

#: Grace for what is stopped without a word from the coordinator.
GRACE_S: Final = 5.0
EXIT_OK: Final = 0
EXIT_RESTART: Final = 10
#: Who is this takes tasks.
_WORKING: Final = frozenset({Duty.AWAKE, Duty.TESTING})
_GOING: Final = frozenset({RequestedState.OFFLINE, RequestedState.RESTART})
#: What it is to be when it is asked for this.
_DUTIES: Final = {
    RequestedState.AWAKE: Duty.AWAKE,
    RequestedState.DRAIN: Duty.DRAINING,
    RequestedState.ERROR: Duty.ERROR,
    RequestedState.TESTING: Duty.TESTING,
    RequestedState.QUARANTINED: Duty.QUARANTINED,
}


@dataclass(slots=True)
class Leaving:
    """The agent is on its way out: why, with which exit code, and how far it is."""

    reason: str
    exit_code: int
    #: What it was willing to do before.
    duty: Duty
    #: The coordinator wants it, and may want something else before the goodbye.
    asked: bool = False
    settled: bool = False
    said: bool = False


class Machine:
    """The state of one agent, from start to exit."""

    def __init__(self, slots: int, *, can_restart: bool = False) -> None:
        self.can_restart = can_restart
        self.epoch = 0
        self.heartbeat_s = 5.0
        self.duty = Duty.AWAKE
        self.welcomed = False
        self.journal_trouble = False
        self.refused = 0
        self._hands = Holdings(slots)
        self._said_duty = self.duty
        #: What it was asked to be, whatever it can be just now.
        self._asked = Duty.AWAKE
        self._asleep_when_free: str | None = None
        self._leaving: Leaving | None = None

    def take_plan(self) -> Plan:
        """The instructions since the last time."""
        plan, self._hands.plan = self._hands.plan, Plan()
        return plan

    @property
    def unfinished(self) -> int:
        """How many attempts run, or wait for a slot."""
        return len(self._hands.unfinished)

    @property
    def leaving(self) -> bool:
        """Whether it is on its way out."""
        return self._leaving is not None

    def holds(self) -> list[Held]:
        """All that is held, for `worker.online` and the heartbeats."""
        return self._hands.listing()

    def exclusive(self) -> list[Ref]:
        """The exclusive attempts that wait or run: what a heartbeat asks leases for."""
        return self._hands.exclusive()

    # --- the road --------------------------------------------------------------------------------------------

    def recover(self, works: Iterable[Work], ended: Iterable[Ref]) -> None:
        """What the journal holds, before anything else: reports are sent again, promotions repeated, and what ran is
        reported as interrupted."""
        self._hands.recover(works, ended)

    def on_joined(self) -> None:
        """The own queue is consumed: say online, after the reports not yet answered."""
        self.welcomed = False
        self._hands.send_unanswered()
        self.say_online()

    def say_online(self) -> None:
        """Also again, until a welcome comes."""
        self._hands.plan.online = True
        self._said_duty = self.duty

    def on_welcome(self, welcome: Welcome) -> None:
        """An attempt that was assigned under the welcome's epoch or a later one is not touched by `keep`, which
        answers an older `online`; a wrong stop is reported as an interruption, so it costs time only."""
        if self.welcomed and welcome.epoch < self.epoch:
            return
        self.welcomed = True
        self.epoch = welcome.epoch
        self.heartbeat_s = welcome.heartbeat_s
        keep = {(ref.task, ref.attempt) for ref in welcome.keep}
        for work in self._hands.unfinished:
            if work.epoch < welcome.epoch and work.ref not in keep:
                self._hands.stop(work, Outcome.INTERRUPTED, "the coordinator has given it to another worker", GRACE_S)
            else:
                work.epoch = max(work.epoch, welcome.epoch)
        self._hands.send_unanswered()
        if self._said_duty is not self.duty:
            self._become(self.duty, "changed while it came online")
        self._go_on()

    def on_reset(self) -> None:
        """The epoch is over: all that is held is up to the next welcome."""
        for work in self._hands.unfinished:
            work.epoch = 0
        self.welcomed = False
        self.say_online()

    def on_reloaded(self, slots: int, *, can_restart: bool) -> None:
        """Other settings: said by `online`, which changes nothing else for the same instance."""
        self._hands.slots, self.can_restart = slots, can_restart
        self.say_online()
        self._go_on()

    # --- attempts --------------------------------------------------------------------------------------------

    def on_assign(self, epoch: int, attempts: Iterable[AssignedAttempt]) -> None:
        """Take what is new and may be taken. What an ended epoch assigned is left alone: it was given away."""
        hands = self._hands
        stale = self.welcomed and epoch < self.epoch
        # What the journal cannot hold fails with the reason; who drains or sleeps gives back.
        willing = self._leaving is None and (
            self.duty in _WORKING or (self.duty is Duty.ERROR and self.journal_trouble)
        )
        for spec in attempts:
            ref = (spec.task, spec.attempt)
            known = hands.held.get(ref)
            if known is not None:
                self._answer(known)
            elif ref in hands.promoting or hands.gives_back(ref):
                continue
            elif hands.was_ended(spec.task, spec.attempt):
                hands.refuse(spec, "this worker has ended this attempt before")
            elif stale:
                self.refused += 1
            elif not willing:
                hands.refuse(spec, f"this worker is {'leaving' if self._leaving else self.duty}")
            else:
                hands.take(spec, epoch)
        self._go_on()

    def on_leased(self, refs: Iterable[Ref]) -> None:
        """The coordinator has acknowledged a heartbeat that listed these exclusive attempts: they may run."""
        for ref in refs:
            self._hands.lease(ref)
        self._go_on()

    def on_revoke(self, revocations: Iterable[Revocation]) -> None:
        """Stop these; what has not come yet is not run when it comes."""
        hands = self._hands
        for revocation in revocations:
            ref = (revocation.task, revocation.attempt)
            work = hands.held.get(ref)
            if work is not None:
                hands.stop(work, Outcome.CANCELED, revocation.reason, revocation.grace_s)
            elif ref not in hands.promoting and not hands.was_ended(*ref):
                hands.bar(ref)
        self._go_on()

    def on_verdicts(self, verdicts: Iterable[Judged]) -> None:
        """A verdict on what has not been reported can only mean that nobody waits for it."""
        for judged in verdicts:
            work = self._hands.held.get((judged.task, judged.attempt))
            if work is None:
                continue
            if work.report is not None:
                self._hands.judge(work, judged.verdict)
            elif judged.verdict is Verdict.SUPERSEDED:
                self._hands.stop(work, Outcome.CANCELED, "superseded", GRACE_S)
        self._go_on()

    def on_ended(self, finished: TaskFinished) -> None:
        """It ran to its end."""
        work = self._hands.release(finished)
        if work is not None:
            self._hands.report(work, finished)
            self._go_on()

    def on_stopped(self, finished: TaskFinished) -> None:
        """It was stopped: how that is reported depends on who asked for it."""
        work = self._hands.release(finished)
        if work is not None:
            self._hands.report_stopped(work, finished)
            self._go_on()

    def on_promoted(self, ref: Ref) -> None:
        """Its outputs are at their known path and the broker has the word of it (or it cannot ever be done)."""
        if self._hands.promoting.pop(ref, None) is not None:
            self._hands.end(ref)
            self._go_on()

    def on_tick(self, now_s: float) -> None:
        """Time has passed: send again what has waited long enough for its verdict."""
        self._hands.send_due(now_s)

    # --- duty ------------------------------------------------------------------------------------------------

    def on_request(self, wish: RequestState) -> None:
        """The coordinator asks for another state; it asks again until it hears that it is so. What it asked for before,
        going included, it takes back by that, until the goodbye."""
        reason = wish.reason or ""
        leaving = self._leaving
        if leaving is not None and leaving.asked and not leaving.said and wish.state not in _GOING:
            self._leaving = None
            self._hands.stay()
        match wish.state:
            case state if state in _GOING:
                self._on_asked_to_go(wish, reason)
            case _ if self._leaving is not None:
                self._become(self.duty, "it is leaving")
            case RequestedState.ASLEEP:
                self._asked, self._asleep_when_free = Duty.ASLEEP, reason
                self._quiet(self.duty if self.duty is Duty.ASLEEP else Duty.DRAINING, reason, lazy=wish.lazy)
            case _:
                self._asked, self._asleep_when_free = _DUTIES[wish.state], None
                self._take_up(reason, lazy=wish.lazy)
        self._go_on()

    def _on_asked_to_go(self, wish: RequestState, reason: str) -> None:
        """Leave, unless it cannot come back as asked, or was asked only if it is idle, and is not."""
        refusal = None
        if wish.state is RequestedState.RESTART and not self.can_restart:
            refusal = "nothing would start this agent again (can_restart is off)"
        elif wish.if_idle and self._hands.unfinished:
            refusal = f"it is busy: it holds {len(self._hands.unfinished)}"
        if refusal is not None:
            if self.welcomed:
                said = WorkerStateChanged(duty=self.duty, reason=refusal, refused=wish.state)
                self._hands.plan.announces.append(said)
            return
        code = EXIT_RESTART if wish.state is RequestedState.RESTART else EXIT_OK
        words = reason or f"asked to {'restart' if code else 'go offline'}"
        if self._leaving is not None and self._leaving.asked:
            self._leaving.reason, self._leaving.exit_code = words, code
        self.leave(words, code, lazy=wish.lazy, asked=True)

    def _take_up(self, reason: str, *, lazy: bool) -> None:
        """Be what was asked for, as far as that is possible now."""
        if self._asked is Duty.AWAKE:
            self._become(Duty.ERROR if self.journal_trouble else Duty.AWAKE, reason)
        elif self._asked is Duty.TESTING and self.journal_trouble:
            self._become(Duty.ERROR, reason)
        else:
            self._quiet(self._asked, reason, lazy=lazy)

    def leave(self, reason: str, exit_code: int, *, lazy: bool = True, asked: bool = False) -> None:
        """Take nothing new, finish what runs (or stop it now), say goodbye, exit."""
        if self._leaving is not None:
            self._leaving.asked = self._leaving.asked and asked
        if self._leaving is None:
            self._leaving = Leaving(reason, exit_code, self._asked, asked=asked)
            self._hands.handing_back = True
            self._quiet(Duty.DRAINING, reason, lazy=lazy)
        elif not lazy:
            self.stop_all(reason)
        self._go_on()

    def stop_all(self, reason: str) -> None:
        """Stop what runs."""
        for work in self._hands.unfinished:
            self._hands.stop(work, Outcome.INTERRUPTED, reason, GRACE_S)
        self._go_on()

    def on_patience_over(self) -> None:
        """Verdicts and promotions have been waited for long enough: the journal keeps what is open."""
        if self._leaving and self._leaving.settled:
            self._say_goodbye(self._leaving)

    def on_goodbye_sent(self, *, confirmed: bool) -> None:
        """What a goodbye that was taken has handed back is no longer ours."""
        if self._leaving is None:
            return
        if confirmed:
            for work in self._hands.handed_back[:MAX_HELD]:
                self._hands.end(work.ref)
        self._hands.plan.exit_code = self._leaving.exit_code

    def on_journal_failed(self, works: Iterable[Work], reason: str) -> None:
        """*works* could not be journaled, so they must not run: they fail with the words that help."""
        for work in works:
            self._hands.fail_unjournaled(work, reason)
        if not self.journal_trouble:
            self.journal_trouble = True
            if self.duty in _WORKING:
                self._become(Duty.ERROR, reason)

    def on_journal_healed(self) -> None:
        """It can be written again."""
        self.journal_trouble = False
        if self.duty is Duty.ERROR and self._asked in _WORKING:
            self._become(self._asked, "the journal can be written again")
        self._go_on()

    # --- the parts -------------------------------------------------------------------------------------------

    def _answer(self, work: Work) -> None:
        if work.report is not None:
            self._hands.plan.sends.append(work)
        elif work.phase is not Phase.RECEIVED:
            self._hands.plan.restarted.append(work)

    def _become(self, duty: Duty, reason: str) -> None:
        """Also when it is that already: the answer may have been lost. Before a welcome there is nobody to tell."""
        self.duty = duty
        if self.welcomed:
            self._hands.plan.announces.append(WorkerStateChanged(duty=duty, reason=reason or None))

    def _quiet(self, duty: Duty, reason: str, *, lazy: bool) -> None:
        """Nothing new from now on. What waits for a slot is given back; what runs may end, or is stopped."""
        self._become(duty, reason)
        for work in self._hands.unfinished:
            if work.phase is Phase.RECEIVED or not lazy:
                self._hands.stop(work, Outcome.INTERRUPTED, reason or f"the worker is {duty}", GRACE_S)

    def _go_on(self) -> None:
        """After each event: start what may start, or be a step further on the way to sleep or out.

        Nothing starts before a welcome: what an old epoch assigned may have been given away.
        """
        hands = self._hands
        if self._leaving is not None:
            if hands.idle:
                self._settle(self._leaving)
        elif self.welcomed:
            hands.start_waiting()
            if self._asleep_when_free is not None and hands.idle and self.duty is not Duty.ASLEEP:
                self._become(Duty.ASLEEP, self._asleep_when_free)

    def _settle(self, leaving: Leaving) -> None:
        if not leaving.settled:
            leaving.settled = True
            self._hands.plan.settled = True
        if self._hands.settled:
            self._say_goodbye(leaving)

    def _say_goodbye(self, leaving: Leaving) -> None:
        if not leaving.said:
            leaving.said = True
            refs = [AttemptRef(task=w.task, attempt=w.attempt) for w in self._hands.handed_back[:MAX_HELD]]
            self._hands.plan.goodbye = WorkerOffline(reason=leaving.reason or None, duty=leaving.duty, handed_back=refs)
