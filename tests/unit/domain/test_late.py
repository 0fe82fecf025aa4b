"""Successes of attempts that were given up."""

from datetime import UTC, datetime
from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.attempt import Attempt, AttemptState, Ending
from coordinator.domain.job import Policy
from coordinator.domain.late import is_welcome
from coordinator.domain.task import FINISHED, Task, TaskState

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ACCEPT = Policy(late_results="accept")
RUNS = st.integers(1, 3)


def an_attempt(state: AttemptState, ending: Ending | None, run: int = 1) -> Attempt:
    return Attempt(1, 1, run, 1, "node-1", 1, state, NOW, NOW, ending=ending)


def a_task(state: TaskState, run: int = 1) -> Task:
    return Task(1, 1, 1, 1, state, 50, run=run)


GIVEN_UP = [(AttemptState.STOPPING, None), (AttemptState.ENDED, Ending.LOST), (AttemptState.ENDED, Ending.REVOKED)]
OTHERS = [(AttemptState.ASSIGNED, None), (AttemptState.RUNNING, None)] + [
    (AttemptState.ENDED, ending) for ending in Ending if ending not in (Ending.LOST, Ending.REVOKED)
]


@given(st.sampled_from(GIVEN_UP + OTHERS), st.sampled_from(TaskState), RUNS, RUNS)
def test_nothing_late_is_accepted_where_the_job_does_not_want_it(
    end: tuple[AttemptState, Ending | None], state: TaskState, run: int, now: int
) -> None:
    assert not is_welcome(Policy(), an_attempt(*end, run), a_task(state, now))


@given(st.sampled_from(GIVEN_UP + OTHERS), st.sampled_from(sorted(FINISHED)), RUNS, RUNS)
def test_a_finished_task_keeps_what_it_has(
    end: tuple[AttemptState, Ending | None], state: TaskState, run: int, now: int
) -> None:
    assert not is_welcome(ACCEPT, an_attempt(*end, run), a_task(state, now))


@given(st.sampled_from(GIVEN_UP), st.sampled_from(TaskState), RUNS, RUNS)
def test_a_result_of_another_run_is_of_no_use(
    end: tuple[AttemptState, Ending | None], state: TaskState, run: int, now: int
) -> None:
    assert run == now or not is_welcome(ACCEPT, an_attempt(*end, run), a_task(state, now))


def test_only_what_was_given_up_can_come_late() -> None:
    for end, state in product(OTHERS, TaskState):
        assert not is_welcome(ACCEPT, an_attempt(*end), a_task(state))


def test_what_was_given_up_is_welcome_while_its_task_waits_or_runs_elsewhere() -> None:
    for end in GIVEN_UP:
        welcome = {state for state in TaskState if is_welcome(ACCEPT, an_attempt(*end), a_task(state))}
        assert welcome == {
            TaskState.SCHEDULED,
            TaskState.PAUSED,
            TaskState.READY,
            TaskState.ASSIGNED,
            TaskState.RUNNING,
        }
