"""What follows an attempt that ended without a result."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.attempt import Ending
from coordinator.domain.retry import FIRST_BACKOFF_S, LONGEST_BACKOFF_S, Again, GiveUp, Later, after, backoff_s

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 1000), CHANCE)
def test_the_pause_grows_to_a_limit_and_is_never_less_than_half(failures: int, chance: float) -> None:
    pause = backoff_s(failures, chance)

    assert min(FIRST_BACKOFF_S, LONGEST_BACKOFF_S) / 2 <= pause <= LONGEST_BACKOFF_S
    assert pause <= backoff_s(failures + 1, 0.999999) + 1e-3


@given(st.integers(1, 50), st.integers(0, 50), CHANCE)
def test_a_task_has_one_attempt_more_than_it_has_retries(failures: int, retries: int, chance: float) -> None:
    then = after(Ending.FAILED, failures=failures, retries=retries, losses=0, max_losses=5, chance=chance)

    assert isinstance(then, GiveUp) == (failures > retries)
    assert isinstance(then, Later) == (failures <= retries)


@given(st.sampled_from([Ending.LOST, Ending.INTERRUPTED, Ending.CANCELED]), st.integers(0, 100), st.integers(0, 4))
def test_what_the_farm_did_to_a_task_burns_no_retry(ending: Ending, failures: int, losses: int) -> None:
    assert after(ending, failures=failures, retries=0, losses=losses, max_losses=5, chance=0) == Again()


def test_a_task_that_kills_its_workers_is_poison() -> None:
    then = after(Ending.LOST, failures=0, retries=100, losses=5, max_losses=5, chance=0)

    assert isinstance(then, GiveUp)
    assert "poison" in then.reason
