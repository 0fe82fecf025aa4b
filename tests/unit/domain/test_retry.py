"""Whose doing the end of an attempt is, and what follows."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.attempt import Ending
from coordinator.domain.retry import (
    BY_CAUSE,
    BY_ENDING,
    RULES,
    Again,
    Budget,
    Counts,
    GiveUp,
    Later,
    RetryClass,
    after,
    class_of,
    told,
)
from schemas.task import Cause, Outcome

CHANCE = st.floats(0, 1, exclude_max=True)
COUNT = st.integers(1, 200)
BUDGETS = st.builds(Budget, st.integers(0, 100), st.integers(0, 100), st.integers(1, 100))
NOT_OURS = st.sampled_from(list(BY_ENDING))


# --- the class ---------------------------------------------------------------------------------------------


def test_every_cause_that_a_worker_may_name_has_its_class() -> None:
    assert set(BY_CAUSE) == {cause.value for cause in Cause}


def test_every_ending_without_a_result_but_failure_has_its_class() -> None:
    assert set(BY_ENDING) == set(Ending) - {Ending.COMPLETED, Ending.FAILED}
    assert {Outcome.INTERRUPTED.value, Outcome.CANCELED.value} <= {ending.value for ending in BY_ENDING}


@given(NOT_OURS, st.sampled_from([*Cause, None]), st.integers(-64, 255) | st.none())
def test_what_the_farm_did_is_infrastructure_whatever_its_worker_says(
    ending: Ending, cause: str | None, exit_code: int | None
) -> None:
    assert class_of(ending, cause, exit_code) is RetryClass.INFRASTRUCTURE


@given(st.integers(-64, 255) | st.none())
def test_a_cause_comes_before_the_exit_code_and_an_unknown_one_says_nothing(exit_code: int | None) -> None:
    assert class_of(Ending.FAILED, "program", exit_code) is RetryClass.TASK
    assert class_of(Ending.FAILED, "memory", exit_code) is RetryClass.RESOURCE
    assert class_of(Ending.FAILED, "of-a-later-release", exit_code) is class_of(Ending.FAILED, None, exit_code)


def test_a_program_that_was_killed_for_memory_or_time_or_asks_to_come_again_ran_short_of_resources() -> None:
    short = [code for code in range(-64, 256) if class_of(Ending.FAILED, None, code) is RetryClass.RESOURCE]
    assert short == [-25, -24, -9, 75, 137, 152, 153]
    assert class_of(Ending.FAILED, None, 1) is class_of(Ending.FAILED, None, -11) is RetryClass.TASK


# --- the rules ---------------------------------------------------------------------------------------------


@given(st.sampled_from([RetryClass.TASK, RetryClass.RESOURCE]), COUNT, CHANCE)
def test_the_pause_grows_to_a_limit_and_is_never_less_than_half(kind: RetryClass, count: int, chance: float) -> None:
    backoff = RULES[kind].backoff
    assert backoff is not None
    pause = backoff.pause_s(count, chance)

    assert backoff.first_s / 2 <= pause <= backoff.longest_s
    assert pause <= backoff.pause_s(count + 1, 0.999999) + 1e-3


def test_only_failures_of_the_task_itself_burn_retries() -> None:
    assert [kind for kind, rule in RULES.items() if rule.burns_retry] == [RetryClass.TASK]


@given(COUNT, BUDGETS, CHANCE)
def test_a_task_has_one_attempt_more_than_it_has_retries(failures: int, budget: Budget, chance: float) -> None:
    then = after(RetryClass.TASK, Counts(failures=failures), budget, chance=chance)

    assert isinstance(then, GiveUp) == (failures > budget.retries)
    assert isinstance(then, Later) == (failures <= budget.retries)


@given(COUNT, st.integers(0, 100), BUDGETS, CHANCE)
def test_shortages_have_a_budget_of_their_own_whatever_the_failures(
    shortages: int, failures: int, budget: Budget, chance: float
) -> None:
    then = after(RetryClass.RESOURCE, Counts(failures=failures, shortages=shortages), budget, chance=chance)

    assert isinstance(then, GiveUp) == (shortages > budget.shortages)


@given(NOT_OURS, st.integers(0, 100), st.integers(0, 100), st.data())
def test_what_the_farm_did_to_a_task_burns_no_retry(
    ending: Ending, failures: int, shortages: int, data: st.DataObject
) -> None:
    budget = data.draw(BUDGETS)
    losses = data.draw(st.integers(0, budget.losses - 1))

    assert after(class_of(ending), Counts(failures, shortages, losses), budget, chance=0) == Again()


@given(BUDGETS)
def test_a_task_that_kills_its_workers_is_poison(budget: Budget) -> None:
    then = after(RetryClass.INFRASTRUCTURE, Counts(losses=budget.losses), budget, chance=0)

    assert isinstance(then, GiveUp)
    assert then.reason.startswith("poison: ")
    assert str(budget.losses) in then.reason


@given(BUDGETS)
def test_what_is_hopeless_is_not_tried_again(budget: Budget) -> None:
    then = after(class_of(Ending.FAILED, "hopeless"), Counts(failures=0), budget, chance=0)

    assert then == GiveUp("poison: its worker says that no retry can help")


def test_why_it_waits_is_told_with_the_first_line_of_the_error() -> None:
    budget, counts = Budget(3, 2, 5), Counts(failures=2, shortages=1)

    assert told(RetryClass.TASK, counts, budget, "exit code 11\ntrace") == "retry 2 of 3: exit code 11"
    assert told(RetryClass.RESOURCE, counts, budget, None) == "retry after a shortage 1 of 2: failed"
