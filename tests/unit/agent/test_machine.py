"""The agent's state machine, example by example."""

import pytest

from schemas.task import AttemptRef, Judged, Outcome, Phase, Revocation, TaskFinished, Verdict
from schemas.worker import Duty, RequestedState, RequestState, Welcome
from tests.unit.agent.builders import SERVER_TIME, an_attempt
from worker_agent.machine import EXIT_RESTART, Machine
from worker_agent.plan import Plan, Work


def a_welcome(epoch: int = 1, keep: tuple[tuple[int, int], ...] = ()) -> Welcome:
    refs = [AttemptRef(task=task, attempt=attempt) for task, attempt in keep]
    return Welcome(epoch=epoch, heartbeat_s=5, lease_s=30, server_time=SERVER_TIME, keep=refs)


def a_machine(slots: int = 2, *, can_restart: bool = False, epoch: int = 1) -> Machine:
    machine = Machine(slots, can_restart=can_restart)
    machine.on_joined()
    machine.on_welcome(a_welcome(epoch))
    machine.take_plan()
    return machine


def completed(task: int, attempt: int = 1) -> TaskFinished:
    return TaskFinished(task=task, attempt=attempt, outcome=Outcome.COMPLETED)


def assign(machine: Machine, *tasks: int, epoch: int = 1) -> Plan:
    machine.on_assign(epoch, [an_attempt(task) for task in tasks])
    return machine.take_plan()


def report_of(work: Work) -> TaskFinished:
    assert work.report is not None
    return TaskFinished.model_validate_json(work.report)


def test_what_is_assigned_is_journaled_and_runs_where_there_is_a_slot() -> None:
    machine = a_machine(slots=2)
    plan = assign(machine, 1, 2, 3)
    assert [work.task for work in plan.taken] == [1, 2, 3]
    assert [work.task for work in plan.runs] == [1, 2]
    machine.on_ended(completed(1))
    plan = machine.take_plan()
    assert [work.task for work in plan.runs] == [3]
    assert [work.task for work in plan.reported] == [work.task for work in plan.sends] == [1]


def test_nothing_runs_before_the_welcome() -> None:
    machine = Machine(2)
    machine.on_joined()
    assert assign(machine, 1).runs == []
    machine.on_welcome(a_welcome(keep=()))
    assert [work.task for work in machine.take_plan().runs] == [1], "assigned under the welcome's own epoch"


def test_a_known_attempt_is_answered_with_its_state() -> None:
    machine = a_machine()
    assign(machine, 1)
    plan = assign(machine, 1)
    assert (plan.runs, plan.taken) == ([], [])
    assert [work.task for work in plan.restarted] == [1]
    machine.on_ended(completed(1))
    machine.take_plan()
    plan = assign(machine, 1)
    assert (plan.runs, plan.taken) == ([], [])
    assert [work.task for work in plan.sends] == [1]


def test_an_attempt_that_was_ended_before_is_answered_with_an_interruption_and_deletes_nothing() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_ended(completed(1))
    machine.on_verdicts([Judged(task=1, attempt=1, verdict=Verdict.ACCEPTED)])
    assert machine.take_plan().ended == [(1, 1)]
    plan = assign(machine, 1)
    assert plan.runs == []
    assert report_of(plan.sends[0]).outcome is Outcome.INTERRUPTED
    machine.on_verdicts([Judged(task=1, attempt=1, verdict=Verdict.SUPERSEDED)])
    plan = machine.take_plan()
    assert plan.discards == []
    assert plan.ended == [(1, 1)]


def test_an_assignment_of_an_old_epoch_is_left_to_the_coordinator() -> None:
    machine = a_machine(epoch=3)
    plan = assign(machine, 1, epoch=2)
    assert (plan.taken, plan.runs, machine.refused) == ([], [], 1)


def test_a_welcome_of_a_new_epoch_stops_what_it_does_not_keep() -> None:
    machine = a_machine()
    assign(machine, 1, 2)
    machine.on_reset()
    assert machine.take_plan().online
    machine.on_welcome(a_welcome(2, keep=((2, 1),)))
    plan = machine.take_plan()
    assert [stop.work.task for stop in plan.stops] == [1]
    machine.on_stopped(TaskFinished(task=1, attempt=1, outcome=Outcome.INTERRUPTED))
    assert report_of(machine.take_plan().sends[0]).outcome is Outcome.INTERRUPTED


def test_a_late_welcome_does_not_touch_what_its_epoch_has_assigned_since() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_welcome(a_welcome(1, keep=()))
    assert machine.take_plan().stops == []


def test_a_welcome_of_an_older_epoch_is_ignored() -> None:
    machine = a_machine(epoch=5)
    machine.on_welcome(a_welcome(4))
    assert machine.epoch == 5


def test_reports_are_sent_again_after_a_welcome_and_with_growing_pauses() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_ended(completed(1))
    machine.take_plan()
    sent = []
    for second in range(40):
        machine.on_tick(float(second))
        if machine.take_plan().sends:
            sent.append(second)
    assert sent == [2, 6, 14, 30]
    machine.on_welcome(a_welcome())
    assert [work.task for work in machine.take_plan().sends] == [1]


def test_a_revoked_attempt_is_stopped_and_reported_as_canceled() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_revoke([Revocation(task=1, attempt=1, reason="no longer wanted", grace_s=3)])
    plan = machine.take_plan()
    assert [(stop.work.task, stop.grace_s) for stop in plan.stops] == [(1, 3)]
    assert machine.holds()[0].phase is Phase.STOPPING
    machine.on_stopped(TaskFinished(task=1, attempt=1, outcome=Outcome.INTERRUPTED))
    report = report_of(machine.take_plan().sends[0])
    assert (report.outcome, report.error) == (Outcome.CANCELED, "no longer wanted")


def test_an_attempt_that_ends_by_itself_while_it_is_stopped_keeps_its_own_ending() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_revoke([Revocation(task=1, attempt=1, reason="x")])
    machine.on_ended(completed(1))
    assert report_of(machine.take_plan().sends[0]).outcome is Outcome.COMPLETED


def test_a_revocation_that_comes_before_its_assignment_holds() -> None:
    machine = a_machine()
    machine.on_revoke([Revocation(task=1, attempt=2, reason="x")])
    assert machine.take_plan().barred == [(1, 2)]
    machine.on_assign(1, [an_attempt(1, 2)])
    assert machine.take_plan().runs == []
    machine.on_assign(1, [an_attempt(1, 3)])
    assert [work.ref for work in machine.take_plan().runs] == [(1, 3)]


def test_an_accepted_attempt_is_promoted_before_it_is_forgotten() -> None:
    machine = a_machine()
    machine.on_assign(1, [an_attempt(1, promote="film/shot")])
    machine.on_ended(completed(1))
    machine.on_verdicts([Judged(task=1, attempt=1, verdict=Verdict.ACCEPTED)])
    plan = machine.take_plan()
    assert [work.ref for work in plan.accepted] == [work.ref for work in plan.promotes] == [(1, 1)]
    assert plan.ended == []
    assert machine.holds() == [], "a verdict is over when a heartbeat does not list it"
    machine.on_promoted((1, 1))
    assert machine.take_plan().ended == [(1, 1)]


def test_a_superseded_attempt_leaves_nothing_behind() -> None:
    machine = a_machine()
    machine.on_assign(1, [an_attempt(1, promote="film/shot")])
    machine.on_ended(completed(1))
    machine.on_verdicts([Judged(task=1, attempt=1, verdict=Verdict.SUPERSEDED)])
    plan = machine.take_plan()
    assert [work.directory for work in plan.discards] == ["1/1"]
    assert (plan.promotes, plan.ended) == ([], [(1, 1)])


def test_draining_finishes_what_runs_and_gives_back_the_rest() -> None:
    machine = a_machine(slots=1)
    assign(machine, 1, 2)
    machine.on_request(RequestState(state=RequestedState.DRAIN))
    plan = machine.take_plan()
    assert [change.duty for change in plan.announces] == [Duty.DRAINING]
    assert [(work.task, report_of(work).outcome) for work in plan.sends] == [(2, Outcome.INTERRUPTED)]
    assert plan.stops == []
    assert report_of(assign(machine, 3).sends[0]).outcome is Outcome.INTERRUPTED
    machine.on_ended(completed(1))
    assert machine.duty is Duty.DRAINING
    machine.on_request(RequestState(state=RequestedState.AWAKE))
    assert [work.task for work in assign(machine, 4).runs] == [4]


def test_draining_at_once_stops_what_runs() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_request(RequestState(state=RequestedState.DRAIN, lazy=False))
    assert [stop.work.task for stop in machine.take_plan().stops] == [1]


def test_a_lazy_sleeper_sleeps_when_it_is_free() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.on_request(RequestState(state=RequestedState.ASLEEP, reason="night"))
    assert [change.duty for change in machine.take_plan().announces] == [Duty.DRAINING]
    machine.on_ended(completed(1))
    assert [(change.duty, change.reason) for change in machine.take_plan().announces] == [(Duty.ASLEEP, "night")]
    machine.on_request(RequestState(state=RequestedState.ASLEEP, reason="night"))
    assert machine.duty is Duty.ASLEEP, "asked again, it stays asleep and says so"
    assert machine.take_plan().announces[-1].duty is Duty.ASLEEP


def test_leaving_waits_for_verdicts_then_says_goodbye() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.leave("SIGTERM", 0)
    assert machine.take_plan().goodbye is None
    machine.on_ended(completed(1))
    plan = machine.take_plan()
    assert plan.settled
    assert plan.goodbye is None
    machine.on_verdicts([Judged(task=1, attempt=1, verdict=Verdict.ACCEPTED)])
    goodbye = machine.take_plan().goodbye
    assert goodbye is not None
    assert goodbye.handed_back == []
    machine.on_goodbye_sent(confirmed=True)
    assert machine.take_plan().exit_code == 0


def test_what_is_stopped_on_the_way_out_is_listed_until_it_is_handed_back() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.leave("SIGTERM", 0, lazy=False)
    assert [stop.work.task for stop in machine.take_plan().stops] == [1]
    machine.on_stopped(TaskFinished(task=1, attempt=1, outcome=Outcome.INTERRUPTED))
    assert [held.task for held in machine.holds()] == [1]
    goodbye = machine.take_plan().goodbye
    assert goodbye is not None
    assert [(ref.task, ref.attempt) for ref in goodbye.handed_back] == [(1, 1)]
    machine.on_goodbye_sent(confirmed=True)
    assert machine.take_plan().ended == [(1, 1)]


def test_a_goodbye_that_nobody_took_leaves_the_attempt_in_the_journal() -> None:
    machine = a_machine()
    assign(machine, 1)
    machine.leave("SIGTERM", 0, lazy=False)
    machine.on_stopped(TaskFinished(task=1, attempt=1, outcome=Outcome.INTERRUPTED))
    machine.on_goodbye_sent(confirmed=False)
    plan = machine.take_plan()
    assert plan.ended == []
    assert plan.exit_code == 0


def test_a_restart_is_for_those_that_are_started_again() -> None:
    machine = a_machine()
    machine.on_request(RequestState(state=RequestedState.RESTART))
    assert not machine.leaving
    assert "can_restart" in (machine.take_plan().announces[0].reason or "")
    machine = a_machine(can_restart=True)
    machine.on_request(RequestState(state=RequestedState.RESTART))
    machine.on_goodbye_sent(confirmed=True)
    assert machine.take_plan().exit_code == EXIT_RESTART


def test_a_former_life_is_reported() -> None:
    finished, running, accepted = Work(1, 1), Work(2, 1), Work(3, 1, promote="x")
    finished.phase, finished.outcome, finished.report = Phase.FINISHED, Outcome.COMPLETED, b"{}"
    accepted.phase, accepted.outcome, accepted.report, accepted.accepted = (
        Phase.FINISHED,
        Outcome.COMPLETED,
        b"{}",
        True,
    )
    machine = Machine(2)
    machine.recover([finished, running, accepted], [(4, 2)])
    plan = machine.take_plan()
    assert [work.task for work in plan.promotes] == [3]
    assert [(work.task, work.outcome) for work in plan.reported] == [(2, Outcome.INTERRUPTED)]
    machine.on_joined()
    plan = machine.take_plan()
    assert {(work.task, work.outcome) for work in plan.sends} == {(1, Outcome.COMPLETED), (2, Outcome.INTERRUPTED)}
    assert plan.online
    assert {held.phase for held in machine.holds()} == {Phase.FINISHED}
    machine.on_welcome(a_welcome())
    machine.on_assign(1, [an_attempt(4, 2), an_attempt(4, 3)])
    assert [work.ref for work in machine.take_plan().runs] == [(4, 3)]


def test_what_the_journal_cannot_hold_fails_with_the_reason_and_the_worker_says_error() -> None:
    machine = a_machine()
    machine.on_assign(1, [an_attempt(1)])
    plan = machine.take_plan()
    machine.on_journal_failed(plan.taken, "the disk is full: free space")
    assert plan.runs[0].report is not None, "so the shell does not start it"
    plan = machine.take_plan()
    assert report_of(plan.sends[0]).error == "the disk is full: free space"
    assert plan.reported == []
    assert [change.duty for change in plan.announces] == [Duty.ERROR]
    machine.on_journal_healed()
    assert [work.task for work in assign(machine, 2).runs] == [2]


def test_the_list_of_what_is_held_prefers_what_runs() -> None:
    machine = a_machine(slots=500)
    machine.on_assign(1, [an_attempt(task) for task in range(1, 401)])
    for task in range(1, 401):
        machine.on_ended(completed(task))
    machine.on_assign(1, [an_attempt(task) for task in range(401, 701)])
    holds = machine.holds()
    assert len(holds) == 500
    assert [held.task for held in holds[:300]] == list(range(401, 701))
    assert [held.task for held in holds[300:]] == list(range(201, 401)), "the newest of the finished"


def test_what_is_handed_back_is_not_taken_up_again_when_it_is_assigned_once_more() -> None:
    machine = Machine(2)
    machine.on_joined()
    assign(machine, 1)
    machine.on_request(RequestState(state=RequestedState.OFFLINE, lazy=False))
    machine.take_plan()

    plan = assign(machine, 1)

    assert (plan.taken, plan.sends) == ([], [])
    assert [(held.task, held.phase) for held in machine.holds()] == [(1, Phase.RECEIVED)]


def test_a_worker_that_is_tested_takes_what_it_is_given_and_one_that_is_out_of_order_or_quarantined_does_not() -> None:
    for state, duty, takes in (
        (RequestedState.TESTING, Duty.TESTING, True),
        (RequestedState.ERROR, Duty.ERROR, False),
        (RequestedState.QUARANTINED, Duty.QUARANTINED, False),
    ):
        machine = a_machine()
        machine.on_request(RequestState(state=state, reason="why"))
        assert [change.duty for change in machine.take_plan().announces] == [duty]
        plan = assign(machine, 1)
        assert bool(plan.runs) is takes
        assert [report_of(work).outcome for work in plan.reported] == ([] if takes else [Outcome.INTERRUPTED])


def test_what_was_asked_for_outlives_trouble_with_the_journal() -> None:
    machine = a_machine()
    machine.on_request(RequestState(state=RequestedState.ERROR, reason="disk"))
    machine.on_journal_failed([], "full")
    machine.on_journal_healed()
    assert machine.duty is Duty.ERROR, "an operator said so"
    machine.on_request(RequestState(state=RequestedState.TESTING))
    machine.on_journal_failed([], "full")
    assert machine.duty is Duty.ERROR
    machine.on_journal_healed()
    assert machine.take_plan().announces[-1].duty is Duty.TESTING


def test_a_question_is_refused_by_who_is_busy_and_leaves_who_is_not() -> None:
    machine = a_machine()
    assign(machine, 1)
    question = RequestState(state=RequestedState.OFFLINE, if_idle=True, reason="idle for 30 minutes")
    machine.on_request(question)
    (said,) = machine.take_plan().announces
    assert (said.duty, said.refused, said.reason) == (Duty.AWAKE, RequestedState.OFFLINE, "it is busy: it holds 1")
    assert not machine.leaving
    machine.on_ended(completed(1))
    machine.on_verdicts([Judged(task=1, attempt=1, verdict=Verdict.ACCEPTED)])
    machine.on_request(question)
    assert machine.leaving


def test_a_goodbye_says_what_the_worker_was_willing_to_do_before() -> None:
    machine = a_machine()
    machine.on_request(RequestState(state=RequestedState.DRAIN))
    machine.leave("SIGTERM received", 0)
    goodbye = machine.take_plan().goodbye
    assert goodbye is not None
    assert goodbye.duty is Duty.DRAINING
    machine = a_machine()
    machine.leave("SIGTERM received", 0)
    goodbye = machine.take_plan().goodbye
    assert goodbye is not None
    assert goodbye.duty is Duty.AWAKE, "not draining: that it does only on its way out"


@pytest.mark.parametrize("state", [RequestedState.OFFLINE, RequestedState.RESTART])
@pytest.mark.parametrize("lazy", [True, False])
def test_a_request_to_go_can_be_taken_back_until_the_goodbye(state: RequestedState, lazy: bool) -> None:  # noqa: FBT001
    machine = a_machine(slots=1, can_restart=True)
    machine.on_assign(1, [an_attempt(1), an_attempt(2)])
    machine.take_plan()
    machine.on_request(RequestState(state=state, lazy=lazy))
    assert machine.leaving
    assert machine.holds()[-1].task == 2, "what waits for a slot would be handed back"
    machine.take_plan()

    machine.on_request(RequestState(state=RequestedState.AWAKE))

    assert not machine.leaving
    assert machine.duty is Duty.AWAKE
    plan = machine.take_plan()
    assert [work.task for work in plan.sends] == [2], "reported as interrupted, for there is no goodbye"
    machine.on_ended(TaskFinished(task=1, attempt=1, outcome=Outcome.COMPLETED))
    machine.on_assign(1, [an_attempt(3)])
    assert [work.task for work in machine.take_plan().runs] == [3]
    assert machine.take_plan().goodbye is None


def test_a_signal_to_go_is_not_taken_back_by_the_farm() -> None:
    for asked_first in (True, False):
        machine = a_machine()
        machine.on_assign(1, [an_attempt(1)])
        if asked_first:
            machine.on_request(RequestState(state=RequestedState.OFFLINE))
        machine.leave("SIGTERM received", 0)
        machine.on_request(RequestState(state=RequestedState.AWAKE))
        assert machine.leaving


def test_who_is_asked_to_stop_after_all_is_not_started_again() -> None:
    machine = a_machine(can_restart=True)
    machine.on_assign(1, [an_attempt(1)])
    machine.on_request(RequestState(state=RequestedState.RESTART))
    machine.on_request(RequestState(state=RequestedState.OFFLINE, reason="smoke", lazy=False))
    machine.on_stopped(TaskFinished(task=1, attempt=1, outcome=Outcome.INTERRUPTED))
    plan = machine.take_plan()
    assert plan.goodbye is not None
    assert plan.goodbye.reason == "smoke"
    machine.on_goodbye_sent(confirmed=True)
    assert machine.take_plan().exit_code == 0


def test_a_restart_that_nobody_would_follow_is_refused_once() -> None:
    machine = a_machine()
    machine.on_request(RequestState(state=RequestedState.RESTART))
    (said,) = machine.take_plan().announces
    assert said.refused is RequestedState.RESTART
    assert not machine.leaving
