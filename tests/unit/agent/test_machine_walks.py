"""Random walks over the agent's state machine, with a journal that survives its deaths."""

from typing import Any

from hypothesis import settings, strategies
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from schemas.task import Held, Judged, Outcome, Phase, Revocation, TaskFinished, Verdict
from schemas.worker import Duty, RequestedState, RequestState, Welcome
from tests.support.chance import examples
from tests.unit.agent.builders import SERVER_TIME, an_attempt
from worker_agent.machine import Machine
from worker_agent.plan import Plan, Ref, Work

SLOTS = 3
#: One time in six.
SELDOM = strategies.integers(0, 5).map(lambda number: number == 5)


class Books:
    """What a journal would hold."""

    def __init__(self) -> None:
        self.rows: dict[Ref, str] = {}
        self.works: dict[Ref, Work] = {}

    def apply(self, plan: Plan) -> None:
        for work in plan.taken:
            self.rows.setdefault(work.ref, "held")
            self.works.setdefault(work.ref, work)
        for work in plan.reported:
            assert self.rows[work.ref] != "accepted"
            self.rows[work.ref] = "reported"
            self.works[work.ref].outcome, self.works[work.ref].report = work.outcome, work.report
        for work in plan.accepted:
            self.rows[work.ref] = "accepted"
        for ref in plan.ended:
            self.rows[ref] = "ended"
            self.works[ref] = Work(*ref)
        for ref in plan.barred:
            self.rows.setdefault(ref, "ended")
            self.works.setdefault(ref, Work(*ref))

    def recovered(self) -> tuple[list[Work], list[Ref]]:
        works = []
        for ref, state in self.rows.items():
            if state == "ended":
                continue
            old = self.works[ref]
            work = Work(*ref, directory=old.directory, promote=old.promote)
            if state != "held":
                work.phase, work.outcome, work.report = Phase.FINISHED, old.outcome, old.report
                work.accepted = state == "accepted"
            works.append(work)
        return works, [ref for ref, state in self.rows.items() if state == "ended"]


class AgentWalk(RuleBasedStateMachine):
    """Whatever comes in whatever order, the books are right."""

    known: Bundle[Ref] = Bundle("known")
    running: Bundle[Ref] = Bundle("running")

    @initialize()
    def born(self) -> None:
        self.books = Books()
        self.ran: set[Ref] = set()
        self.leased: set[Ref] = set()
        self.barred: set[Ref] = set()
        self.epoch = 0
        self.now_s = 0.0
        self.task = 0
        self._begin()
        self._welcome([])

    def _begin(self) -> None:
        self.machine = Machine(SLOTS, can_restart=True)
        self.live: dict[Ref, Work] = {}
        self.gone = False
        self.machine.recover(*self.books.recovered())
        self.machine.on_joined()
        self._carry_out()

    def _welcome(self, keep: list[Held]) -> Any:
        self.epoch += 1
        self.machine.on_welcome(
            Welcome(epoch=self.epoch, heartbeat_s=5, lease_s=30, server_time=SERVER_TIME, keep=list(keep))
        )
        return self._carry_out()

    def _carry_out(self) -> Any:
        plan = self.machine.take_plan()
        self.books.apply(plan)
        for work in plan.runs:
            assert work.ref not in self.ran, "an attempt is run once at most, over all lives"
            assert not work.exclusive or work.ref in self.leased, "what is exclusive is not run without a lease"
            assert work.ref not in self.barred, "what was revoked before is never run"
            assert self.books.rows[work.ref] == "held", "what runs is in the journal"
            self.ran.add(work.ref)
            self.live[work.ref] = work
        for work in plan.sends:
            assert work.report is not None, "only what has ended is reported"
        for stop in plan.stops:
            assert stop.work.ref in self.live, "only what runs is stopped"
        if plan.exit_code is not None:
            self.gone = True
        return multiple(*[work.ref for work in plan.runs])

    # --- the coordinator -------------------------------------------------------------------------------------

    @rule(target=known)
    def plan_a_task(self) -> Ref:
        self.task += 1
        return (self.task, 1)

    @rule(target=known, ref=known)
    def plan_another_attempt(self, ref: Ref) -> Ref:
        return (ref[0], ref[1] + 1)

    @rule(target=running, ref=known, slots=strategies.integers(1, SLOTS), old=SELDOM, exclusive=SELDOM)
    def assign(self, ref: Ref, slots: int, *, old: bool, exclusive: bool) -> Any:
        self.machine.on_assign(self.epoch - old, [an_attempt(*ref, slots=slots, exclusive=exclusive)])
        return self._carry_out()

    @rule(target=running)
    def lease_all(self) -> Any:
        self.leased.update(self.machine.exclusive())
        self.machine.on_leased(self.machine.exclusive())
        return self._carry_out()

    @rule(ref=known, really=SELDOM)
    def revoke(self, ref: Ref, *, really: bool) -> None:
        if really:
            if ref not in self.books.rows:
                self.barred.add(ref)
            self.machine.on_revoke([Revocation(task=ref[0], attempt=ref[1], reason="walk", grace_s=1)])
            self._carry_out()

    @rule(ref=known, verdict=strategies.sampled_from(list(Verdict)))
    def judge(self, ref: Ref, verdict: Verdict) -> None:
        self.machine.on_verdicts([Judged(task=ref[0], attempt=ref[1], verdict=verdict)])
        self._carry_out()

    @rule(state=strategies.sampled_from(list(RequestedState)), lazy=strategies.booleans(), really=SELDOM)
    def request(self, state: RequestedState, *, lazy: bool, really: bool) -> None:
        self.machine.on_request(RequestState(state=state if really else RequestedState.AWAKE, lazy=lazy))
        self._carry_out()

    @rule(target=running, keep_all=strategies.booleans(), same=strategies.booleans())
    def welcome(self, *, keep_all: bool, same: bool) -> Any:
        self.epoch -= same
        return self._welcome(self.machine.holds() if keep_all else [])

    @rule(really=SELDOM)
    def reset(self, *, really: bool) -> None:
        if really:
            self.machine.on_reset()
            self._carry_out()

    # --- the agent -------------------------------------------------------------------------------------------

    @rule(target=running, ref=consumes(running), outcome=strategies.sampled_from([Outcome.COMPLETED, Outcome.FAILED]))
    def end(self, ref: Ref, outcome: Outcome) -> Any:
        if self.live.pop(ref, None) is None:
            return multiple()
        self.machine.on_ended(TaskFinished(task=ref[0], attempt=ref[1], outcome=outcome))
        return self._carry_out()

    @rule(target=running, ref=consumes(running))
    def stopped(self, ref: Ref) -> Any:
        work = self.live.get(ref)
        if work is None or work.phase is not Phase.STOPPING:
            return ref
        del self.live[ref]
        self.machine.on_stopped(TaskFinished(task=ref[0], attempt=ref[1], outcome=Outcome.INTERRUPTED))
        return self._carry_out()

    @rule(ref=known)
    def promoted(self, ref: Ref) -> None:
        self.machine.on_promoted(ref)
        self._carry_out()

    @rule(really=SELDOM)
    def join_again(self, *, really: bool) -> None:
        if really:
            self.machine.on_joined()
            self._carry_out()

    @rule(target=running, by_s=strategies.floats(0.1, 60))
    def tick(self, by_s: float) -> Any:
        self.now_s += by_s
        self.machine.on_tick(self.now_s)
        return self._carry_out()

    @rule(confirmed=strategies.booleans())
    def say_goodbye(self, *, confirmed: bool) -> None:
        self.machine.on_patience_over()
        self._carry_out()
        if self.machine.leaving and not self.machine.unfinished:
            self.machine.on_goodbye_sent(confirmed=confirmed)
            self._carry_out()

    @rule(really=SELDOM)
    def die(self, *, really: bool) -> None:
        if really or self.gone:
            self._begin()

    # --- always ----------------------------------------------------------------------------------------------

    @invariant()
    def slots_are_never_exceeded(self) -> None:
        if hasattr(self, "live"):
            assert sum(work.slots for work in self.live.values()) <= SLOTS

    @invariant()
    def what_can_start_does_not_wait(self) -> None:
        if hasattr(self, "live") and self.machine.welcomed and not self.machine.leaving:
            free = SLOTS - sum(work.slots for work in self.live.values())
            waiting = self.machine._hands._waiting
            assert not waiting or waiting[0].slots > free

    @invariant()
    def what_runs_is_listed(self) -> None:
        if hasattr(self, "live") and not self.gone:
            listed = {(held.task, held.attempt) for held in self.machine.holds()}
            assert set(self.live) <= listed

    @invariant()
    def what_the_books_hold_is_held(self) -> None:
        if not hasattr(self, "books") or self.gone:
            return
        open_rows = {ref for ref, state in self.books.rows.items() if state in {"held", "reported"}}
        listed = {(held.task, held.attempt) for held in self.machine.holds()}
        assert open_rows == listed, "a report is kept until its verdict, and nothing else is"

    @invariant()
    def a_leaving_agent_is_not_awake(self) -> None:
        if hasattr(self, "machine") and self.machine.leaving:
            assert self.machine.duty is not Duty.AWAKE


TestAgentWalk = AgentWalk.TestCase
TestAgentWalk.settings = settings(max_examples=examples(1.5), stateful_step_count=50)
