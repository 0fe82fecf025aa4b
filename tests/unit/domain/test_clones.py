"""Two agents with one name: noticed when they take turns, and nobody else is taken for two."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.clones import MOST_TURNS, Arrival, are_clones, arrived, turns

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def came(*lives: str, every_s: float = 10.0) -> list[Arrival]:
    """Arrivals of *lives* ("instance/boot"), one after the other."""
    arrivals: list[Arrival] = []
    for number, life in enumerate(lives):
        instance, _, boot = life.partition("/")
        arrivals = arrived(arrivals, Arrival(instance, boot, NOON + timedelta(seconds=number * every_s)))
    return arrivals


def test_two_lives_that_take_turns_three_times_are_two_agents() -> None:
    assert not are_clones(came("a/x", "b/x", "a/x", "b/x"))
    assert are_clones(came("a/x", "b/x", "a/x", "b/x", "a/x"))


def test_two_machines_that_take_turns_are_two_agents_however_often_they_restart() -> None:
    assert are_clones(came("a1/x", "b1/y", "a2/x", "b2/y", "a3/x"))


def test_turns_that_are_far_apart_are_no_clones() -> None:
    assert not are_clones(came("a/x", "b/y", "a/x", "b/y", "a/x", "b/y", every_s=200))


def test_who_was_there_long_before_counts_as_there() -> None:
    long_ago = [Arrival("a", "x", NOON - timedelta(hours=9))]
    arrivals = arrived(arrived(long_ago, Arrival("b", "y", NOON)), Arrival("a", "x", NOON + timedelta(seconds=1)))
    assert turns(arrivals) == 1


@given(st.lists(st.integers(0, 3), max_size=30))
def test_an_agent_that_restarts_or_whose_machine_does_is_one(restarts: list[int]) -> None:
    boot, lives = 0, []
    for number, kind in enumerate(restarts):
        boot += kind == 0
        lives.append(f"life-{number}/boot-{boot}")
    assert turns(came(*lives, every_s=1)) == 0


@given(st.integers(2, 12), st.booleans())
def test_each_change_after_the_first_two_is_a_turn(changes: int, fresh: bool) -> None:  # noqa: FBT001
    lives = [f"{'ab'[n % 2]}{n if fresh else ''}/{'xy'[n % 2]}" for n in range(changes)]
    arrivals = came(*lives, every_s=1)
    assert turns(arrivals) == changes - 2
    assert are_clones(arrivals) is (changes - 2 >= MOST_TURNS)
