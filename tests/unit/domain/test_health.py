"""A worker's health: the formula, and what it takes to be quarantined."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.health import HALF_LIFE_S, Evidence, has_others, is_unfit, score, told, weight
from coordinator.domain.worker import Connection, Duty, Worker
from tests.unit.domain.test_matching import a_worker

AGES = st.lists(st.floats(0, 100_000), max_size=20)


@given(AGES, AGES)
def test_health_is_between_nought_and_one_and_one_without_failures(failed: list[float], finished: list[float]) -> None:
    assert 0 < score(Evidence(failed, finished)) <= 1
    assert score(Evidence((), finished)) == 1


@given(AGES, AGES, st.floats(0, 100_000))
def test_another_job_failed_makes_it_no_better_and_another_finished_no_worse(
    failed: list[float], finished: list[float], age: float
) -> None:
    before = score(Evidence(failed, finished))

    assert score(Evidence([*failed, age], finished)) <= before
    assert score(Evidence(failed, [*finished, age])) >= before


@given(AGES, st.floats(0, 100_000))
def test_failures_are_forgotten_with_time(failed: list[float], later: float) -> None:
    assert score(Evidence([age + later for age in failed])) >= score(Evidence(failed))
    assert weight(HALF_LIFE_S) == 0.5
    assert score(Evidence([10 * HALF_LIFE_S] * 50)) == 1


@given(st.integers(0, 1000), st.floats(0.01, 0.3))
def test_fewer_than_three_jobs_never_quarantine_however_many_tasks_failed(seconds: int, below: float) -> None:
    assert not is_unfit(Evidence([seconds, seconds]), min(below, 0.3))


def test_three_jobs_failed_and_none_finished_quarantine_and_one_finished_does_not() -> None:
    assert is_unfit(Evidence([0, 60, 120]), 0.3)
    assert not is_unfit(Evidence([0, 60, 120], [300]), 0.3)
    assert told(Evidence([0, 0, 0])) == "failed in 3 jobs what nobody else failed, finished tasks in none (health 0.25)"


@pytest.mark.parametrize(
    ("other", "is_one"),
    [
        (a_worker("b"), True),
        (a_worker("b", duty=Duty.ASLEEP), True),
        (a_worker("a"), False),
        (a_worker("b", connection=Connection.LOST), False),
        (a_worker("b", duty=Duty.QUARANTINED), False),
        (a_worker("b", queues=["gpu"]), False),
        (a_worker("b", kinds=["render"]), False),
    ],
)
def test_only_a_worker_that_could_do_its_work_is_another_one(other: Worker, *, is_one: bool) -> None:
    assert has_others(a_worker("a"), [other]) is is_one
