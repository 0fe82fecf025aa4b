"""What an agent does about what happens to it: a pure state machine.

Each method is an event. It changes the state and adds instructions to `plan`; the shell (`worker_agent.agent`) takes
the plan and carries it out: first the journal's part, in one transaction, then the acknowledgements, then the rest.
No I/O, no clock, no chance: time is a field of the events that need it. The promises, walked over by tests:

- an attempt is run once at most, and only after the journal has it;
- a report is kept until its verdict, and nothing else makes an agent forget an attempt that it has run;
- what is known is answered with its state, what was ended before (`_ended`) with an interruption, never with a run;
- no more slots are in use than the agent has.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.task import (
    AssignedAttempt,
    AttemptRef,
    Held,
    Judged,
    Outcome,
    Phase,
    Revocation,
    TaskFinished,
    Verdict,
)
from schemas.worker import MAX_HELD, Duty, RequestedState, RequestState, Welcome, WorkerOffline, WorkerStateChanged
from worker_agent.plan import Plan, Ref, Stop, Work

#: Seconds until a report without a verdict is sent again: doubled each time, up to the second number.
RESEND_S: Final = (2.0, 30.0)
#: As many ended tasks are remembered; when there are a fifth more, the oldest are forgotten.
ENDED_KEPT: Final = 50_000
#: Grace for what is stopped without a word from the coordinator.
GRACE_S: Final = 5.0
EXIT_OK: Final = 0
EXIT_RESTART: Final = 10

_to_json = TaskFinished.__pydantic_serializer__.to_json


@dataclass(slots=True)
class Leaving:
    """The agent is on its way out: why, and with which exit code."""

    reason: str
    exit_code: int
    settled: bool = False
    said: bool = False
    handed_back: list[Work] = field(default_factory=list)


class Machine:
    """The state of one agent, from start to exit."""

    def __init__(self, slots: int, *, can_restart: bool = False) -> None:
        self.slots = slots
        self.can_restart = can_restart
        self.epoch = 0
        self.heartbeat_s = 5.0
        self.duty = Duty.AWAKE
        self.held: dict[Ref, Work] = {}
        self.promoting: dict[Ref, Work] = {}
        self.plan = Plan()
        self.refused = 0
        self._said_duty = self.duty
        self._welcomed = False
        self._waiting: deque[Work] = deque()
        self._active: dict[Ref, Work] = {}
        self._unanswered: dict[Ref, Work] = {}
        self._ended: dict[int, int] = {}
        self._used = 0
        self._asleep_when_free: str | None = None
        self._leaving: Leaving | None = None
        self.journal_trouble = False

    def take_plan(self) -> Plan:
        plan, self.plan = self.plan, Plan()
        return plan

    # --- what others look at ---------------------------------------------------------------------------------

    @property
    def unfinished(self) -> int:
        """How many attempts run, or wait for a slot."""
        return len(self._active) + len(self._waiting)

    @property
    def leaving(self) -> bool:
        """Whether it is on its way out."""
        return self._leaving is not None

    @property
    def welcomed(self) -> bool:
        """Whether the coordinator has answered the last `online`."""
        return self._welcomed

    def holds(self) -> list[Held]:
        """All that is held, at most `MAX_HELD`: what runs or waits first, then the newest waiting for a verdict."""
        leaving = self._leaving.handed_back if self._leaving else ()
        works = [*self._active.values(), *self._waiting, *leaving][:MAX_HELD]
        room = MAX_HELD - len(works)
        if room:
            works += list(self._unanswered.values())[-room:]
        return [Held(task=w.task, attempt=w.attempt, phase=w.phase, done=w.done, outcome=w.outcome) for w in works]

    # --- a former life -----------------------------------------------------------------------------------------

    def recover(self, works: Iterable[Work], ended: Iterable[Ref]) -> None:
        """What the journal holds, before anything else: reports are sent again, promotions repeated, and what ran
        (its processes are ended by now) is reported as interrupted."""
        for task, attempt in ended:
            self._ended[task] = max(attempt, self._ended.get(task, 0))
        for work in works:
            if work.accepted:
                self.promoting[work.ref] = work
                self.plan.promotes.append(work)
                continue
            self.held[work.ref] = work
            if work.report is None:
                self._report(work, self._interruption(work, "the agent ended while it ran"))
            else:
                self._unanswered[work.ref] = work

    # --- the road ------------------------------------------------------------------------------------------------

    def on_joined(self) -> None:
        """The own queue is consumed: say online, after the reports not yet answered."""
        self._welcomed = False
        self.plan.sends.extend(self._unanswered.values())
        self.say_online()

    def say_online(self) -> None:
        """Also again, until a welcome comes."""
        self.plan.online = True
        self._said_duty = self.duty

    def on_welcome(self, welcome: Welcome) -> None:
        """An attempt that was assigned under the welcome's epoch or a later one is not touched by `keep`, which
        answers an older `online`; a wrong stop is reported as an interruption, so it costs time only."""
        if self._welcomed and welcome.epoch < self.epoch:
            return
        self._welcomed = True
        self.epoch = welcome.epoch
        self.heartbeat_s = welcome.heartbeat_s
        keep = {(ref.task, ref.attempt) for ref in welcome.keep}
        for work in [*self._active.values(), *self._waiting]:
            if work.epoch < welcome.epoch and work.ref not in keep:
                self._stop(work, Outcome.INTERRUPTED, "the coordinator has given it to another worker", GRACE_S)
            else:
                work.epoch = max(work.epoch, welcome.epoch)
        self.plan.sends.extend(self._unanswered.values())
        if self._said_duty is not self.duty:
            self._become(self.duty, "changed while it came online")
        self._start_waiting()

    def on_reset(self) -> None:
        """The epoch is over: all that is held is up to the next welcome."""
        for work in [*self._active.values(), *self._waiting]:
            work.epoch = 0
        self._welcomed = False
        self.say_online()

    # --- attempts ------------------------------------------------------------------------------------------------

    def on_assign(self, epoch: int, attempts: Iterable[AssignedAttempt]) -> None:
        stale = self._welcomed and epoch < self.epoch
        # What the journal cannot hold fails with the reason; who drains or sleeps gives back.
        free_to_take = self.duty in (Duty.AWAKE, Duty.ERROR) and self._leaving is None
        for spec in attempts:
            ref = (spec.task, spec.attempt)
            known = self.held.get(ref)
            if known is not None:
                self._answer(known)
            elif ref in self.promoting:
                pass
            elif self._ended.get(spec.task, 0) >= spec.attempt:
                self._refuse(spec, "this worker has ended this attempt before")
            elif stale:
                self.refused += 1
            elif not free_to_take:
                self._refuse(spec, f"this worker is {'leaving' if self._leaving else self.duty}")
            else:
                self._take(spec, epoch)
        self._start_waiting()

    def on_revoke(self, revocations: Iterable[Revocation]) -> None:
        for revocation in revocations:
            ref = (revocation.task, revocation.attempt)
            work = self.held.get(ref)
            if work is not None:
                self._stop(work, Outcome.CANCELED, revocation.reason, revocation.grace_s)
            elif ref not in self.promoting and self._ended.get(revocation.task, 0) < revocation.attempt:
                self._bar(ref)
        self._start_waiting()

    def on_verdicts(self, verdicts: Iterable[Judged]) -> None:
        for judged in verdicts:
            ref = (judged.task, judged.attempt)
            work = self.held.get(ref)
            if work is None:
                continue
            if work.report is None:
                if judged.verdict is Verdict.SUPERSEDED:
                    self._stop(work, Outcome.CANCELED, "superseded", GRACE_S)
                continue
            del self.held[ref], self._unanswered[ref]
            if judged.verdict is Verdict.ACCEPTED and work.promote and work.outcome is Outcome.COMPLETED:
                work.accepted = True
                self.promoting[ref] = work
                self.plan.accepted.append(work)
                self.plan.promotes.append(work)
                continue
            if judged.verdict is Verdict.SUPERSEDED and work.directory:
                self.plan.discards.append(work)
            self._end(ref)
        self._settle()

    def on_ended(self, finished: TaskFinished) -> None:
        """It ran to its end."""
        work = self._released(finished)
        if work is not None:
            self._report(work, finished)
            self._after_release()

    def on_stopped(self, finished: TaskFinished) -> None:
        """It was stopped: how that is reported depends on who asked for it."""
        work = self._released(finished)
        if work is None:
            return
        if self._leaving and work.stopped_as is not Outcome.CANCELED:
            del self.held[work.ref]
            self._leaving.handed_back.append(work)
        else:
            outcome = work.stopped_as or Outcome.INTERRUPTED
            self._report(work, finished.model_copy(update={"outcome": outcome, "error": work.stopped_why or None}))
        self._after_release()

    def on_promoted(self, ref: Ref) -> None:
        """Its outputs are at their known path and the broker has the word of it (or it cannot ever be done)."""
        if self.promoting.pop(ref, None) is not None:
            self._end(ref)
            self._settle()

    def on_tick(self, now_s: float) -> None:
        """Send again what has waited long enough for its verdict."""
        first, longest = RESEND_S
        for work in self._unanswered.values():
            if work.due_s is not None and work.due_s <= now_s:
                work.sendings += 1
                self.plan.sends.append(work)
                work.due_s = None
            if work.due_s is None:
                work.due_s = now_s + min(longest, first * 2.0**work.sendings)

    # --- duty ----------------------------------------------------------------------------------------------------

    def on_request(self, wish: RequestState) -> None:
        reason = wish.reason or ""
        match wish.state:
            case RequestedState.AWAKE if self._leaving is None and not self.journal_trouble:
                self._asleep_when_free = None
                self._become(Duty.AWAKE, reason)
            case RequestedState.AWAKE:
                self._become(self.duty, "it cannot be awake now")
            case RequestedState.DRAIN:
                self._asleep_when_free = None
                self._quiet(Duty.DRAINING, reason, lazy=wish.lazy)
            case RequestedState.ASLEEP:
                self._asleep_when_free = reason
                self._quiet(self.duty if self.duty is Duty.ASLEEP else Duty.DRAINING, reason, lazy=wish.lazy)
                self._settle()
            case RequestedState.RESTART if not self.can_restart:
                self._become(self.duty, "nothing would start this agent again (can_restart is off)")
            case RequestedState.OFFLINE:
                self.leave(reason or "asked to go offline", EXIT_OK, lazy=wish.lazy)
            case RequestedState.RESTART:
                self.leave(reason or "asked to restart", EXIT_RESTART, lazy=wish.lazy)

    def leave(self, reason: str, exit_code: int, *, lazy: bool = True) -> None:
        """Take nothing new, finish what runs (or stop it now), say goodbye, exit."""
        if self._leaving is None:
            self._leaving = Leaving(reason, exit_code)
            self._quiet(Duty.DRAINING, reason, lazy=lazy)
        elif not lazy:
            self.stop_all(self._leaving.reason)
        self._settle()

    def stop_all(self, reason: str) -> None:
        """Stop what runs; it is handed back."""
        for work in [*self._active.values(), *self._waiting]:
            self._stop(work, Outcome.INTERRUPTED, reason, GRACE_S)
        self._settle()

    def on_patience_over(self) -> None:
        """Verdicts and promotions have been waited for long enough: the journal keeps what is open."""
        if self._leaving and self._leaving.settled:
            self._say_goodbye(self._leaving)

    def on_goodbye_sent(self, *, confirmed: bool) -> None:
        if self._leaving is None:
            return
        if confirmed:
            for work in self._leaving.handed_back[:MAX_HELD]:
                self._end(work.ref)
        self.plan.exit_code = self._leaving.exit_code

    def on_journal_failed(self, works: Iterable[Work], reason: str) -> None:
        """*works* could not be journaled, so they must not run: they fail with the words that help."""
        for work in works:
            if work.report is None:
                self._drop_slot(work)
                self._report(
                    work,
                    TaskFinished(task=work.task, attempt=work.attempt, outcome=Outcome.FAILED, error=reason),
                    journaled=False,
                )
        if not self.journal_trouble:
            self.journal_trouble = True
            if self.duty is Duty.AWAKE:
                self._become(Duty.ERROR, reason)

    def on_journal_healed(self) -> None:
        if self.journal_trouble:
            self.journal_trouble = False
            if self.duty is Duty.ERROR:
                self._become(Duty.AWAKE, "the journal can be written again")

    def on_reloaded(self, slots: int, *, can_restart: bool) -> None:
        """Other settings: said by `online`, which changes nothing else for the same instance."""
        self.slots, self.can_restart = slots, can_restart
        self.say_online()
        self._start_waiting()

    # --- the parts -------------------------------------------------------------------------------------------------

    def _take(self, spec: AssignedAttempt, epoch: int) -> None:
        work = Work(
            spec.task,
            spec.attempt,
            epoch,
            spec.resources.slots,
            spec,
            spec.directory,
            spec.promote,
        )
        self.held[spec.task, spec.attempt] = work
        self._waiting.append(work)
        self.plan.taken.append(work)

    def _start_waiting(self) -> None:
        """Nothing starts before a welcome: what an old epoch assigned may be given away."""
        if not self._welcomed or self._leaving is not None:
            return
        waiting, runs = self._waiting, self.plan.runs
        while waiting and (self._used + waiting[0].slots <= self.slots or not self._used):
            work = waiting.popleft()
            work.phase = Phase.RUNNING
            self._used += work.slots
            self._active[work.task, work.attempt] = work
            runs.append(work)

    def _answer(self, work: Work) -> None:
        if work.report is not None:
            self.plan.sends.append(work)
        elif work.phase is not Phase.RECEIVED:
            self.plan.restarted.append(work)

    def _refuse(self, spec: AssignedAttempt, why: str) -> None:
        self.refused += 1
        work = Work(spec.task, spec.attempt)
        self.held[work.ref] = work
        self.plan.taken.append(work)
        self._report(work, self._interruption(work, why))

    def _interruption(self, work: Work, why: str) -> TaskFinished:
        return TaskFinished(task=work.task, attempt=work.attempt, outcome=Outcome.INTERRUPTED, error=why)

    def _stop(self, work: Work, outcome: Outcome, why: str, grace_s: float) -> None:
        if work.report is not None:
            return
        if work.phase is Phase.RECEIVED:
            self._waiting.remove(work)
            if self._leaving and outcome is Outcome.INTERRUPTED:
                del self.held[work.ref]
                self._leaving.handed_back.append(work)
            else:
                self._report(
                    work, TaskFinished(task=work.task, attempt=work.attempt, outcome=outcome, error=why or None)
                )
            return
        if work.stopped_as is not Outcome.CANCELED:
            work.stopped_as, work.stopped_why = outcome, why
        work.phase = Phase.STOPPING
        self.plan.stops.append(Stop(work, grace_s))

    def _released(self, ref: AttemptRef) -> Work | None:
        work = self._active.pop((ref.task, ref.attempt), None)
        if work is not None:
            self._used -= work.slots
        return work

    def _drop_slot(self, work: Work) -> None:
        if self._active.pop(work.ref, None) is not None:
            self._used -= work.slots
        elif work in self._waiting:
            self._waiting.remove(work)

    def _after_release(self) -> None:
        if self._waiting:
            self._start_waiting()
        elif not self._active:
            self._settle()

    def _report(self, work: Work, finished: TaskFinished, *, journaled: bool = True) -> None:
        work.phase = Phase.FINISHED
        work.outcome = finished.outcome
        work.report = _to_json(finished, exclude_none=True)
        work.spec = None
        self._unanswered[work.task, work.attempt] = work
        if journaled:
            self.plan.reported.append(work)
        self.plan.sends.append(work)

    def _end(self, ref: Ref) -> None:
        self.plan.ended.append(ref)
        self._remember(ref)

    def _bar(self, ref: Ref) -> None:
        self.plan.barred.append(ref)
        self._remember(ref)

    def _remember(self, ref: Ref) -> None:
        task, attempt = ref
        ended = self._ended
        ended[task] = max(attempt, ended.pop(task, 0))
        if len(ended) > ENDED_KEPT * 6 // 5:
            for old in list(ended)[: len(ended) - ENDED_KEPT]:
                self.plan.pruned.append((old, ended.pop(old)))

    def _become(self, duty: Duty, reason: str) -> None:
        """Also when it is that already: the answer may have been lost. Before a welcome there is nobody to tell."""
        self.duty = duty
        if self._welcomed:
            self.plan.announces.append(WorkerStateChanged(duty=duty, reason=reason or None))

    def _quiet(self, duty: Duty, reason: str, *, lazy: bool) -> None:
        """Nothing new from now on. What waits for a slot is given back; what runs may end, or is stopped."""
        self._become(duty, reason)
        for work in list(self._waiting):
            self._stop(work, Outcome.INTERRUPTED, reason or f"the worker is {duty}", GRACE_S)
        if not lazy:
            self.stop_all(reason or f"the worker is {duty}")

    def _settle(self) -> None:
        if self.unfinished:
            return
        if self._leaving is None:
            if self._asleep_when_free is not None and self.duty is not Duty.ASLEEP:
                self._become(Duty.ASLEEP, self._asleep_when_free)
            return
        if not self._leaving.settled:
            self._leaving.settled = True
            self.plan.settled = True
        if not self._unanswered and not self.promoting:
            self._say_goodbye(self._leaving)

    def _say_goodbye(self, leaving: Leaving) -> None:
        if not leaving.said:
            leaving.said = True
            refs = [AttemptRef(task=w.task, attempt=w.attempt) for w in leaving.handed_back[:MAX_HELD]]
            self.plan.goodbye = WorkerOffline(reason=leaving.reason or None, handed_back=refs)
