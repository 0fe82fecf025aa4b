"""How an agent waits for a broker that is away."""

from worker_agent.transport.connection import CONNECT_TIMEOUT_S, Backoff


def test_pauses_grow_and_stay_well_below_the_time_in_which_a_silent_worker_is_given_up() -> None:
    backoff = Backoff()
    pauses = [backoff.next_s() for _ in range(50)]

    assert 0.25 <= pauses[0] <= 0.5
    assert 5 <= max(pauses) <= 10
    # The broker comes back just when a try is under way that gets no answer any more; then a pause, then a heartbeat.
    assert CONNECT_TIMEOUT_S + max(pauses) + 5 < 30


def test_after_a_life_that_was_long_enough_it_begins_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next_s()
    backoff.reset()

    assert backoff.next_s() <= 0.5
