"""Random walks over both ends of a lease: whatever is late, lost, repeated, paused or dead, no two runs overlap."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from coordinator.domain.attempt import Attempt, AttemptEvent, AttemptState
from coordinator.domain.lease import margin_s
from coordinator.operations.leasing import Leases as Held
from tests.support.chance import examples
from worker_agent import supervisor
from worker_agent.leases import Lease, Leases, Times, times_of
from worker_agent.plan import Ref

LEASE_S = 30.0
TASK = 1
START = datetime(2026, 1, 1, tzinfo=UTC)
M = TypeVar("M")
#: Most often none at all.
DELAYS = st.one_of(st.just(0.0), st.just(0.0), st.floats(0, 10))


@dataclass
class Run:
    """A process that runs, or ran: on whose clock, under which lease, and from when to when in real time."""

    ref: Ref
    agent: "AgentEnd"
    lease: Lease
    began: float
    ended: float | None = None

    def overrun(self, now: float) -> float | None:
        """When its supervisor has killed it, if it has by *now*."""
        at = (self.lease.times.kill_at - self.agent.ahead) / self.agent.pace
        return max(at, self.began) if at <= now else None


@dataclass
class AgentEnd:
    """An agent: its clock runs at a pace of its own. A paused one does nothing, but its supervisors do."""

    name: str
    pace: float
    ahead: float
    seq: int = 0
    leases: Leases = field(default_factory=Leases)
    waiting: set[Ref] = field(default_factory=set)
    paused: bool = False

    def clock(self, now: float) -> float:
        return now * self.pace + self.ahead


class LeaseWalk(RuleBasedStateMachine):
    """One task, three agents, a coordinator, and messages that take their time."""

    @initialize(paces=st.tuples(*[st.floats(0.96, 1.04)] * 3), aheads=st.tuples(*[st.floats(-1e6, 1e6)] * 3))
    def begin(self, paces: tuple[float, ...], aheads: tuple[float, ...]) -> None:
        self.now = 0.0
        self.agents = [AgentEnd(f"node-{n}", *both) for n, both in enumerate(zip(paces, aheads, strict=True))]
        self.held = Held()
        self.live: Attempt | None = None
        self.attempt = 0
        self.runs: list[Run] = []
        self.beats: list[tuple[AgentEnd, int, list[Ref]]] = []
        self.acks: list[tuple[AgentEnd, int, list[Ref]]] = []
        self.assigns: list[tuple[AgentEnd, Ref]] = []
        self.reports: list[Ref] = []

    @property
    def time(self) -> datetime:
        return START + timedelta(seconds=self.now)

    # --- the coordinator -------------------------------------------------------------------------------------

    @precondition(lambda self: self.live is None)
    @rule(which=st.integers(0, 2))
    def assign(self, which: int) -> None:
        if self.held.bars(TASK, self.time) is not None:
            return
        agent = self.agents[which]
        self.attempt += 1
        self.live = Attempt(TASK, self.attempt, 1, 1, agent.name, 1, AttemptState.ASSIGNED, self.time, self.time)
        self.held.lend(self.live)
        self.assigns.append((agent, (TASK, self.attempt)))

    @rule(which=st.integers(0, 2), there_s=DELAYS, back_s=DELAYS)
    def all_goes_well(self, which: int, there_s: float, back_s: float) -> None:
        """A task is given, taken, listed and leased: what a farm does most of the time."""
        agent = self.agents[which]
        if self.live is None:
            self.assign(which)
        for index, (whose, _) in enumerate(list(self.assigns)):
            if whose is agent:
                self.take_in(*self.assigns.pop(index))
                break
        self.beat(which)
        if agent.paused:
            return
        self.time_passes(there_s)
        self.renew(*self.beats.pop())
        if self.acks and self.acks[-1][:2] == (agent, agent.seq):
            self.time_passes(back_s)
            self.go_on(*self.acks.pop())

    @precondition(lambda self: self.live is not None)
    @rule(event=st.sampled_from([AttemptEvent.LOST, AttemptEvent.REVOKED]))
    def take_away(self, event: AttemptEvent) -> None:
        """The worker is lost, offline, reset or forgetful; or somebody cancels and requeues."""
        assert self.live is not None
        self.held.close(self.live, event)
        self.live = None

    @precondition(lambda self: self.beats)
    @rule(data=st.data(), keep=st.booleans())
    def apply_a_heartbeat(self, data: st.DataObject, *, keep: bool) -> None:
        self.renew(*self.take(self.beats, data, keep=keep))

    def renew(self, agent: AgentEnd, seq: int, refs: list[Ref]) -> None:
        """What the SQL does: renewed while the attempt is live, and never to an earlier time."""
        renewed = []
        for ref in refs:
            lease = self.held.held.get(TASK)
            if self.live is None or lease is None or ref != (TASK, self.live.attempt) or agent.name != lease.worker_id:
                continue
            until = self.time + timedelta(seconds=LEASE_S)
            lease.until = max(lease.until or until, until)
            lease.free_at = max(lease.free_at or until, until + timedelta(seconds=margin_s(LEASE_S)))
            renewed.append(ref)
        if renewed:
            self.acks.append((agent, seq, renewed))

    @precondition(lambda self: self.reports)
    @rule(data=st.data(), keep=st.booleans())
    def hear_an_end(self, data: st.DataObject, *, keep: bool) -> None:
        ref = self.take(self.reports, data, keep=keep)
        attempt = Attempt(ref[0], ref[1], 1, 1, "", 1, AttemptState.ENDED, self.time, self.time)
        self.held.close(attempt, AttemptEvent.REPORTED)
        if self.live is not None and self.live.attempt == ref[1]:
            self.live = None

    # --- the agents ------------------------------------------------------------------------------------------

    @precondition(lambda self: self.assigns)
    @rule(data=st.data(), keep=st.booleans())
    def hear_an_assignment(self, data: st.DataObject, *, keep: bool) -> None:
        self.take_in(*self.take(self.assigns, data, keep=keep))

    def take_in(self, agent: AgentEnd, ref: Ref) -> None:
        if not agent.paused and ref not in [run.ref for run in self.runs]:
            agent.waiting.add(ref)

    @rule(which=st.integers(0, 2))
    def beat(self, which: int) -> None:
        agent = self.agents[which]
        if agent.paused:
            return
        refs = [*agent.waiting, *(run.ref for run in self.runs if run.agent is agent and run.ended is None)]
        agent.seq += 1
        agent.leases.sent(agent.seq, agent.clock(self.now), refs)
        self.beats.append((agent, agent.seq, refs))

    @precondition(lambda self: self.acks)
    @rule(data=st.data(), keep=st.booleans())
    def hear_an_acknowledgement(self, data: st.DataObject, *, keep: bool) -> None:
        self.go_on(*self.take(self.acks, data, keep=keep))

    def go_on(self, agent: AgentEnd, seq: int, refs: list[Ref]) -> None:
        if agent.paused:
            return
        for ref in agent.leases.acknowledged(seq, LEASE_S, refs):
            lease = agent.leases.of(ref)
            assert lease is not None
            if ref in agent.waiting:
                agent.waiting.discard(ref)
                # The supervisor starts nothing whose time is over.
                over = agent.clock(self.now) >= lease.times.terminate_at
                self.runs.append(Run(ref, agent, lease, self.now, self.now if over else None))
                if over:
                    self.reports.append(ref)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """By itself, or stopped as it was asked to: only then the agent says so."""
        run = data.draw(st.sampled_from(self.running))
        if not run.agent.paused:
            run.ended = self.now
            self.reports.append(run.ref)

    @rule(which=st.integers(0, 2))
    def die_and_start_again(self, which: int) -> None:
        """The supervisors hear of it; the next life says what has ended when it has."""
        agent = self.agents[which]
        for run in self.running:
            if run.agent is agent:
                stop = agent.clock(self.now) + supervisor.GRACE_S
                run.lease.times = Times(stop, min(stop, run.lease.times.kill_at))
        agent.leases, agent.waiting, agent.paused = Leases(), set(), False
        agent.seq += 1000

    @rule(which=st.integers(0, 2))
    def pause_or_go_on(self, which: int) -> None:
        self.agents[which].paused = not self.agents[which].paused

    # --- the world -------------------------------------------------------------------------------------------

    @rule(by_s=st.one_of(st.floats(0.01, 3), st.floats(3, 70)))
    def time_passes(self, by_s: float) -> None:
        self.now += by_s
        for run in self.running:
            run.ended = run.overrun(self.now)

    @precondition(lambda self: self.live is None and TASK in self.held.held)
    @rule()
    def the_lease_is_over(self) -> None:
        """To the very moment in which the task may be given to another."""
        free_at = self.held.held[TASK].free_at
        assert free_at is not None, "what was never granted is in nobody's way"
        self.time_passes(max(0.0, (free_at - self.time).total_seconds()))

    @precondition(lambda self: self.beats or self.acks or self.assigns or self.reports)
    @rule(data=st.data())
    def lose_a_message(self, data: st.DataObject) -> None:
        bags: list[list[Any]] = [self.beats, self.acks, self.assigns, self.reports]
        bag = data.draw(st.sampled_from([bag for bag in bags if bag]))
        self.take(bag, data, keep=False)

    def take(self, bag: list[M], data: st.DataObject, *, keep: bool) -> M:
        """One of them, any one; kept, it will come again."""
        index = data.draw(st.integers(0, len(bag) - 1))
        return bag[index] if keep else bag.pop(index)

    @property
    def running(self) -> list[Run]:
        return [run for run in self.runs if run.ended is None]

    @invariant()
    def no_two_runs_overlap(self) -> None:
        runs = sorted(getattr(self, "runs", []), key=lambda run: run.began)
        for earlier, later in pairwise(runs):
            assert earlier.ended is not None
            assert earlier.ended <= later.began


TestLeaseWalk = LeaseWalk.TestCase
TestLeaseWalk.settings = settings(max_examples=examples(0.8), stateful_step_count=50)


@given(
    st.lists(st.tuples(st.floats(4.5, 5.5), st.floats(0, 9.0), st.floats(0, 9.0)), min_size=1, max_size=40),
    st.floats(0.96, 1.04),
)
def test_a_lease_never_ends_while_heartbeats_and_their_answers_take_less_than_nine_seconds(
    beats: list[tuple[float, float, float]], pace: float
) -> None:
    leases, ref, now, heard = Leases(), (TASK, 1), 0.0, []
    for seq, (interval_s, there_s, back_s) in enumerate(beats):
        leases.sent(seq, now * pace, [ref])
        heard.append((now + there_s + back_s, seq))
        for at, answered in sorted(heard):
            if at <= now:
                lease = leases.of(ref)
                assert lease is None or at * pace < lease.times.terminate_at, "it was over before it was renewed"
                leases.acknowledged(answered, LEASE_S, [ref])
                heard.remove((at, answered))
        now += interval_s


@given(
    st.floats(1, 3600),
    st.floats(0.96, 1.04),
    st.floats(0, 1e6),
    st.floats(0, 100),
    st.lists(st.floats(0.1, 60), max_size=5),
)
def test_what_runs_has_ended_when_the_task_may_go_to_another_though_the_clocks_differ(
    lease_s: float, pace: float, sent_at: float, there_s: float, later: list[float]
) -> None:
    leases, ref = Leases(), (TASK, 1)
    leases.sent(1, sent_at * pace, [ref])
    for seq, after_s in enumerate(later, 2):  # not applied: they count for nothing
        leases.sent(seq, (sent_at + after_s) * pace, [ref])
    leases.acknowledged(1, lease_s, [ref])
    lease = leases.of(ref)
    assert lease is not None
    assert lease.times.kill_at / pace <= sent_at + there_s + lease_s + margin_s(lease_s)


@given(st.floats(0.1, 3600))
def test_what_runs_is_ended_before_the_lease_is_over_with_a_grace_that_fits_it(lease_s: float) -> None:
    times = times_of(lease_s, lease_s)
    assert 0 < times.terminate_at < times.kill_at < lease_s
    assert lease_s - times.terminate_at <= 5.0
