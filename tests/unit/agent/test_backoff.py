"""How an agent waits for a broker that is away."""

from aiormq.connection import Connection

from schemas.topology import AMQP_HEARTBEAT_S
from worker_agent.transport.connection import CONNECT_TIMEOUT_S, Backoff

#: The least time after which a silent worker may be given up, and the most between two heartbeats of a small farm.
LOST_AFTER_S, INTERVAL_S = 30.0, 5.5


def test_pauses_grow_and_stay_well_below_the_time_in_which_a_silent_worker_is_given_up() -> None:
    backoff = Backoff()
    pauses = [backoff.next_s() for _ in range(50)]

    assert 0.25 <= pauses[0] <= 0.5
    assert 5 <= max(pauses) <= 10
    # The broker comes back just when a try is under way that gets no answer any more; then a pause, then a heartbeat.
    assert CONNECT_TIMEOUT_S + max(pauses) + INTERVAL_S < LOST_AFTER_S


def test_a_half_open_connection_is_noticed_before_the_worker_is_given_up() -> None:
    noticed_s = (AMQP_HEARTBEAT_S + 1) * Connection.HEARTBEAT_GRACE_MULTIPLIER + AMQP_HEARTBEAT_S / 2

    assert noticed_s + INTERVAL_S < LOST_AFTER_S


def test_after_a_life_that_was_long_enough_it_begins_again() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.next_s()
    backoff.reset()

    assert backoff.next_s() <= 0.5
