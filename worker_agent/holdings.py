"""The attempts in an agent's hands: taken, started where there is a slot, reported, and forgotten at their verdict.

The part of the state machine that knows nothing of the coordinator's epochs or of the worker's duty (`machine` does).
"""

import itertools
from collections import deque
from collections.abc import Iterable
from typing import Final

from schemas.task import AssignedAttempt, AttemptRef, Held, Outcome, Phase, TaskFinished, Verdict
from schemas.worker import MAX_HELD
from worker_agent.plan import Plan, Ref, Stop, Work

#: Seconds until a report without a verdict is sent again: doubled each time, up to the second number.
RESEND_S: Final = (2.0, 30.0)
#: As many ended tasks are remembered; the oldest are forgotten so many at a time.
ENDED_KEPT: Final = 50_000
ENDED_PRUNED: Final = 1_000

_to_json = TaskFinished.__pydantic_serializer__.to_json


class Holdings:
    """What is held, and `plan`, the instructions that came of the events so far."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.plan = Plan()
        self.held: dict[Ref, Work] = {}
        self.promoting: dict[Ref, Work] = {}
        #: What was stopped on the way out: held until the goodbye, and given back by it.
        self.handed_back: list[Work] = []
        self.handing_back = False
        self._waiting: deque[Work] = deque()
        #: Exclusive ones that the coordinator has not leased yet.
        self._unleased: dict[Ref, Work] = {}
        self._active: dict[Ref, Work] = {}
        self._unanswered: dict[Ref, Work] = {}
        self._ended: dict[int, int] = {}
        self._used = 0

    # --- looking ---------------------------------------------------------------------------------------------

    @property
    def unfinished(self) -> list[Work]:
        """What runs, and what waits for a slot or a lease."""
        return [*self._active.values(), *self._waiting, *self._unleased.values()]

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits for a slot or a lease."""
        return not self._active and not self._waiting and not self._unleased

    @property
    def settled(self) -> bool:
        """Whether nothing waits for a verdict or its promotion either."""
        return self.idle and not self._unanswered and not self.promoting

    def listing(self) -> list[Held]:
        """All that is held, at most `MAX_HELD`: what runs or waits first, then the newest waiting for a verdict."""
        works = [*self.unfinished, *self.handed_back][:MAX_HELD]
        room = MAX_HELD - len(works)
        if room:
            works += list(self._unanswered.values())[-room:]
        return [Held(task=w.task, attempt=w.attempt, phase=w.phase, done=w.done, outcome=w.outcome) for w in works]

    def was_ended(self, task: int, attempt: int) -> bool:
        """Whether this attempt, or a later one of its task, has been ended or barred here."""
        return self._ended.get(task, 0) >= attempt

    def gives_back(self, ref: Ref) -> bool:
        """Whether the goodbye will hand this attempt back."""
        return any(work.ref == ref for work in self.handed_back)

    # --- coming ----------------------------------------------------------------------------------------------

    def recover(self, works: Iterable[Work], ended: Iterable[Ref]) -> None:
        """What the journal holds of a former life; its processes are ended by now."""
        for task, attempt in ended:
            self._ended[task] = max(attempt, self._ended.get(task, 0))
        for work in works:
            if work.accepted:
                self.promoting[work.ref] = work
                self.plan.promotes.append(work)
                continue
            self.held[work.ref] = work
            if work.report is None:
                self.report(work, interruption(work, "the agent ended while it ran"))
            else:
                self._unanswered[work.ref] = work

    def take(self, spec: AssignedAttempt, epoch: int) -> None:
        """Hold a new attempt; it waits for a slot, an exclusive one for its lease before."""
        task, attempt = spec.task, spec.attempt
        work = Work(task, attempt, epoch, spec.resources.slots, spec, spec.directory, spec.promote)
        self.held[task, attempt] = work
        if spec.exclusive:
            work.exclusive = True
            self._unleased[task, attempt] = work
            self.plan.beat = True
        else:
            self._waiting.append(work)
        self.plan.taken.append(work)

    def refuse(self, spec: AssignedAttempt, why: str) -> None:
        """Hold it just to report that it was not run; it has no directory that a verdict could delete."""
        work = Work(spec.task, spec.attempt)
        self.held[work.ref] = work
        self.plan.taken.append(work)
        self.report(work, interruption(work, why))

    def bar(self, ref: Ref) -> None:
        """An attempt that is not held shall never be run."""
        self.plan.barred.append(ref)
        self._remember(ref)

    def lease(self, ref: Ref) -> None:
        """An exclusive attempt has been leased: now it waits for a slot."""
        work = self._unleased.pop(ref, None)
        if work is not None:
            self._waiting.append(work)

    def exclusive(self) -> list[Ref]:
        """The exclusive attempts that wait or run."""
        return [work.ref for work in self.unfinished if work.exclusive]

    def start_waiting(self) -> None:
        """Start what waits, in order, while slots are free. What needs more than there are starts alone."""
        waiting, runs = self._waiting, self.plan.runs
        while waiting and (self._used + waiting[0].slots <= self.slots or not self._used):
            work = waiting.popleft()
            work.phase = Phase.RUNNING
            self._used += work.slots
            self._active[work.task, work.attempt] = work
            runs.append(work)

    # --- going -----------------------------------------------------------------------------------------------

    def stop(self, work: Work, outcome: Outcome, why: str, grace_s: float) -> None:
        """End it: at once when it has not been started. It is reported as *outcome*, or handed back."""
        if work.report is not None:
            return
        if work.phase is Phase.RECEIVED:
            self._leave_line(work)
            work.stopped_as, work.stopped_why = outcome, why
            self.report_stopped(work, interruption(work, why))
            return
        if work.stopped_as is not Outcome.CANCELED:
            work.stopped_as, work.stopped_why = outcome, why
        work.phase = Phase.STOPPING
        self.plan.stops.append(Stop(work, grace_s))

    def _leave_line(self, work: Work) -> None:
        """It waits no more."""
        if self._unleased.pop(work.ref, None) is None and work in self._waiting:
            self._waiting.remove(work)

    def release(self, ref: AttemptRef) -> Work | None:
        """It runs no more; its slots are free."""
        work = self._active.pop((ref.task, ref.attempt), None)
        if work is not None:
            self._used -= work.slots
        return work

    def report(self, work: Work, finished: TaskFinished, *, journaled: bool = True) -> None:
        """It has ended like this: kept until the verdict."""
        work.phase = Phase.FINISHED
        work.outcome = finished.outcome
        work.report = _to_json(finished, exclude_none=True)
        work.spec = None
        self._unanswered[work.task, work.attempt] = work
        if journaled:
            self.plan.reported.append(work)
        self.plan.sends.append(work)

    def report_stopped(self, work: Work, finished: TaskFinished) -> None:
        """It was stopped: reported as it was asked for, or handed back on the way out."""
        if self.handing_back and work.stopped_as is not Outcome.CANCELED:
            del self.held[work.ref]
            self.handed_back.append(work)
            return
        outcome = work.stopped_as or Outcome.INTERRUPTED
        self.report(work, finished.model_copy(update={"outcome": outcome, "error": work.stopped_why or None}))

    def stay(self) -> None:
        """There is no goodbye after all: what it would have handed back is reported."""
        self.handing_back = False
        works, self.handed_back = self.handed_back, []
        for work in works:
            self.held[work.ref] = work
            self.report(work, interruption(work, work.stopped_why))

    def fail_unjournaled(self, work: Work, reason: str) -> None:
        """The journal does not have it, so it must not run."""
        if work.report is not None:
            return
        if self.release(AttemptRef(task=work.task, attempt=work.attempt)) is None:
            self._leave_line(work)
        finished = TaskFinished(task=work.task, attempt=work.attempt, outcome=Outcome.FAILED, error=reason)
        self.report(work, finished, journaled=False)

    def judge(self, work: Work, verdict: Verdict) -> None:
        """The verdict on a report: promote it, delete it, or simply forget it."""
        ref = work.ref
        del self.held[ref], self._unanswered[ref]
        if verdict is Verdict.ACCEPTED and work.promote and work.outcome is Outcome.COMPLETED:
            work.accepted = True
            self.promoting[ref] = work
            self.plan.accepted.append(work)
            self.plan.promotes.append(work)
            return
        if verdict is Verdict.SUPERSEDED and work.directory:
            self.plan.discards.append(work)
        self.end(ref)

    def end(self, ref: Ref) -> None:
        """Forget all of it but that it has been here."""
        self.plan.ended.append(ref)
        self._remember(ref)

    def send_unanswered(self) -> None:
        """Send every report again that waits for its verdict."""
        self.plan.sends.extend(self._unanswered.values())

    def send_due(self, now_s: float) -> None:
        """Send again the reports that have waited long enough."""
        first, longest = RESEND_S
        for work in self._unanswered.values():
            if work.due_s is not None and work.due_s <= now_s:
                work.sendings += 1
                self.plan.sends.append(work)
                work.due_s = None
            if work.due_s is None:
                work.due_s = now_s + min(longest, first * 2.0**work.sendings)

    def _remember(self, ref: Ref) -> None:
        task, attempt = ref
        ended = self._ended
        ended[task] = max(attempt, ended.pop(task, 0))
        if len(ended) >= ENDED_KEPT + ENDED_PRUNED:
            for old in list(itertools.islice(ended, ENDED_PRUNED)):
                self.plan.pruned.append((old, ended.pop(old)))


def interruption(work: Work, why: str) -> TaskFinished:
    """The report of an attempt that was not carried to its end; it burns no retry."""
    return TaskFinished(task=work.task, attempt=work.attempt, outcome=Outcome.INTERRUPTED, error=why or None)
