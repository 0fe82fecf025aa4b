"""The life cycles: complete, without a way out of the end, and walked at random."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import attempt, task, worker
from coordinator.domain.attempt import Attempt, AttemptEvent, AttemptState, Ending
from coordinator.domain.outcome import Refused
from coordinator.domain.task import FINISHED, HELD, TaskEvent, TaskState
from coordinator.domain.worker import Connection, WorkerEvent

TABLES: list[tuple[Any, type[StrEnum], type[StrEnum]]] = [
    (task.TRANSITIONS, TaskState, TaskEvent),
    (attempt.TRANSITIONS, AttemptState, AttemptEvent),
    (worker.TRANSITIONS, Connection, WorkerEvent),
]


@pytest.mark.parametrize(("table", "states", "events"), TABLES)
def test_every_state_has_a_row_and_every_event_is_used(
    table: Mapping[StrEnum, Mapping[StrEnum, StrEnum]], states: type[StrEnum], events: type[StrEnum]
) -> None:
    assert set(table) == set(states)
    assert {event for row in table.values() for event in row} == set(events)
    reached = {target for row in table.values() for target in row.values()}
    assert set(states) - reached <= {TaskState.BLOCKED, AttemptState.ASSIGNED}


@given(st.lists(st.sampled_from(list(TaskEvent)), max_size=60))
def test_a_task_leaves_its_end_only_by_a_requeue(events: list[TaskEvent]) -> None:
    state = TaskState.READY
    for event in events:
        after = task.decide(state, event)
        if isinstance(after, Refused):
            continue
        if state in FINISHED:
            assert event in (TaskEvent.REQUEUED, TaskEvent.REQUEUED_BLOCKED)
        if after in HELD and state not in HELD:
            assert event is TaskEvent.ASSIGNED
        if after is TaskState.COMPLETED and event is not TaskEvent.COMPLETED_LATE:
            assert state in HELD
        state = after


@given(st.lists(st.sampled_from(list(AttemptEvent)), max_size=20))
def test_an_attempt_only_goes_forward_and_ends_once(events: list[AttemptEvent]) -> None:
    order = [AttemptState.ASSIGNED, AttemptState.RUNNING, AttemptState.STOPPING, AttemptState.ENDED]
    state = AttemptState.ASSIGNED
    for event in events:
        after = attempt.decide(state, event)
        if isinstance(after, Refused):
            continue
        assert order.index(after) > order.index(state) or event is AttemptEvent.ACCEPTED_LATE
        state = after


@given(st.sampled_from([AttemptState.ASSIGNED, AttemptState.RUNNING, AttemptState.STOPPING]), st.sampled_from(Ending))
def test_only_a_live_attempt_can_end_as_completed(state: AttemptState, reported: Ending) -> None:
    ending = attempt.ending_of(state, AttemptEvent.REPORTED, reported)
    if state is AttemptState.STOPPING:
        assert ending in (Ending.SUPERSEDED, Ending.REVOKED)
    else:
        assert ending is reported


@given(st.lists(st.sampled_from(list(WorkerEvent)), max_size=40))
def test_a_worker_that_is_gone_comes_back_only_by_saying_so(events: list[WorkerEvent]) -> None:
    state = Connection.OFFLINE
    for event in events:
        after = worker.decide(state, event)
        if isinstance(after, Refused):
            continue
        if state in (Connection.LOST, Connection.OFFLINE):
            assert event is WorkerEvent.CAME
        state = after


def test_an_attempt_holds_its_task_only_while_it_is_live() -> None:
    live = {state for state in AttemptState if Attempt.live.fget(_attempt(state))}  # type: ignore[attr-defined]
    assert live == {AttemptState.ASSIGNED, AttemptState.RUNNING}


def _attempt(state: AttemptState) -> Attempt:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Attempt(1, 1, 1, 1, "node-1", 1, state, now, now)
