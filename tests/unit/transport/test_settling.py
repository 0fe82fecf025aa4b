"""What may be acknowledged: everything up to the highest tag below which all is settled, and nothing else."""

from unittest.mock import sentinel

from hypothesis import given
from hypothesis import strategies as st

from coordinator.transport.consumer import Life


@given(st.permutations(range(1, 40)), st.integers(0, 39))
def test_in_whatever_order_tags_are_settled_only_the_gapless_beginning_is(order: list[int], count: int) -> None:
    life = Life(sentinel.channel, 1, sentinel.wake)
    done: set[int] = set()
    for tag in order[:count]:
        life.settle(tag)
        done.add(tag)
        assert life.settled == next(n for n in range(40) if n + 1 not in done)


def test_a_tag_settled_twice_counts_once() -> None:
    life = Life(sentinel.channel, 1, sentinel.wake)
    for tag in (1, 1, 3, 3, 2, 1, 3):
        life.settle(tag)
    assert life.settled == 3
    assert not life.beyond
