"""The waits between tries."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from coordinator.transport.backoff import CAP_S, Backoff


def test_the_first_try_again_is_immediate() -> None:
    assert Backoff().next_s() == 0


def test_waits_grow_to_a_few_seconds_and_stay_there() -> None:
    backoff = Backoff(jitter=lambda: 1.0)
    waits = [backoff.next_s() for _ in range(100)]
    assert waits == sorted(waits)
    assert all(later <= 2 * sooner for sooner, later in pairwise(waits[1:]))
    assert waits[-1] == CAP_S


@given(st.floats(0, 1), st.integers(1, 60))
def test_jitter_takes_off_at_most_half(jitter: float, tries: int) -> None:
    plain, jittered = Backoff(jitter=lambda: 1.0), Backoff(jitter=lambda: jitter)
    for _ in range(tries):
        full_s, s = plain.next_s(), jittered.next_s()
        assert full_s / 2 <= s <= full_s


def test_after_a_reset_the_next_try_is_immediate_again() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() == 0
