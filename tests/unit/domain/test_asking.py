"""Requests to workers: who overrules whom, when they end, and what a worker comes back to."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.asking import OVERRULES, Ask, Place, Source, decide, kept, resumed
from coordinator.domain.outcome import Refused
from coordinator.domain.worker import EFFECTS, Asked, Duty, Ends, Worker, fulfilled, is_outstanding, takes_work
from schemas.worker import RequestedState
from tests.unit.domain.test_matching import a_worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
STATES = st.sampled_from(list(Asked))
STANDING = st.sampled_from([state for state in Asked if EFFECTS[state].ends is Ends.REPLACED])


def an_ask(state: Asked, source: Source = Source.OPERATOR) -> Ask:
    return Ask(state, source, "ana", NOW)


def asked(worker: Worker, ask: Ask) -> Place | Refused:
    """*worker* after *ask*, as the coordinator does it."""
    place = decide(worker, ask)
    if place is Place.CURRENT:
        worker.resume, worker.requested_state = resumed(worker, ask), ask.state
    elif place is Place.BENEATH:
        done = EFFECTS[ask.state].ends is Ends.DONE
        worker.resume = None if done else kept(ask.state, ask.source, ask.by, ask.reason)
    return place


def test_the_states_are_those_of_the_wire_and_each_has_its_effect() -> None:
    assert {state.value for state in Asked} == {state.value for state in RequestedState}
    assert set(EFFECTS) == set(Asked)
    assert set(OVERRULES) == set(Source)


@given(st.lists(st.tuples(STATES, st.sampled_from(list(Source))), max_size=30))
def test_nobody_but_an_operator_ends_what_an_operator_has_put_aside(asks: list[tuple[Asked, Source]]) -> None:
    worker = a_worker()
    for state in (Asked.DRAIN, Asked.ERROR, Asked.TESTING, Asked.QUARANTINED):
        asked(worker, an_ask(state))
        for other, source in asks:
            if source in (Source.SCHEDULE, Source.IDLE, Source.WORKER):
                assert isinstance(asked(worker, an_ask(other, source)), Refused)
        assert worker.requested_state == state


@given(st.lists(st.tuples(STATES, st.sampled_from(list(Source))), max_size=30))
def test_whatever_is_asked_a_quarantine_ends_by_an_operator_only(asks: list[tuple[Asked, Source]]) -> None:
    worker = a_worker()
    assert asked(worker, an_ask(Asked.QUARANTINED, Source.FARM)) is Place.CURRENT
    for state, source in asks:
        asked(worker, an_ask(state, source))
        if source is Source.OPERATOR:
            break
        assert worker.requested_state == Asked.QUARANTINED


@given(STANDING, st.lists(st.sampled_from([Asked.OFFLINE, Asked.RESTART]), min_size=1, max_size=3))
def test_a_worker_that_is_asked_to_go_comes_back_to_what_it_was_asked_for(state: Asked, going: list[Asked]) -> None:
    worker = a_worker()
    asked(worker, an_ask(state))
    for one in going:
        asked(worker, an_ask(one))
    assert worker.resume is not None
    assert worker.resume["state"] == state


@pytest.mark.parametrize("state", [Asked.OFFLINE, Asked.RESTART])
def test_a_worker_that_was_awake_comes_back_awake(state: Asked) -> None:
    worker = a_worker()
    asked(worker, an_ask(Asked.AWAKE))
    asked(worker, an_ask(state))
    assert worker.resume is None


def test_a_schedule_speaks_of_what_a_going_worker_comes_back_to() -> None:
    worker = a_worker()
    asked(worker, an_ask(Asked.OFFLINE))
    assert asked(worker, an_ask(Asked.ASLEEP, Source.SCHEDULE)) is Place.BENEATH
    assert worker.resume is not None
    assert worker.resume["state"] == "asleep"
    assert asked(worker, an_ask(Asked.AWAKE, Source.SCHEDULE)) is Place.BENEATH
    assert worker.resume is None
    assert worker.requested_state == "offline"


@given(st.none() | STATES, st.sampled_from(list(Duty)))
def test_only_who_is_awake_or_tested_and_asked_for_nothing_else_takes_work(state: Asked | None, duty: Duty) -> None:
    worker = a_worker(duty=duty, requested_state=state)
    if takes_work(worker):
        assert duty in (Duty.AWAKE, Duty.TESTING)
        assert state is None or fulfilled(state, duty)
    else:
        assert duty not in (Duty.AWAKE, Duty.TESTING) or (state is not None and not fulfilled(state, duty))


@given(state=STATES, duty=st.sampled_from(list(Duty)), lazy=st.booleans(), runs=st.booleans())
def test_a_request_is_told_until_it_is_so(*, state: Asked, duty: Duty, lazy: bool, runs: bool) -> None:
    worker = a_worker(duty=duty, requested_state=state, requested_lazy=lazy)
    told = is_outstanding(worker, duty, runs=runs)
    assert told or fulfilled(state, duty)
    if fulfilled(state, duty):
        assert told is (runs and not lazy and duty not in (Duty.AWAKE, Duty.TESTING))
