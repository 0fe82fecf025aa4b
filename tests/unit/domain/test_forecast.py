"""What a task may expect: no guess from too few, none that should be over already, and who comes first."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.budget import Budgets
from coordinator.domain.forecast import Running, before, next_room_s, rest_s, usual_s
from coordinator.domain.matching import Free, Group, TaskClass
from coordinator.domain.worker import Worker
from tests.unit.domain.test_matching import a_class, a_worker

LENGTHS = st.lists(st.floats(0.1, 1e5), max_size=60)


@given(LENGTHS, st.floats(0, 1e5))
def test_a_guess_is_never_in_the_past_nor_beyond_what_was_ever_seen(took: list[float], seconds: float) -> None:
    rest = rest_s(took, seconds)
    if len(took) < 5 or seconds >= max(took):
        assert rest is None
    else:
        assert rest is not None
        assert 0 < rest <= max(took) - seconds


@given(LENGTHS)
def test_what_is_usual_is_what_nearly_all_stayed_below(took: list[float]) -> None:
    usual = usual_s(took)
    assert (usual is None) == (len(took) < 20)
    if usual is not None:
        assert sum(one <= usual for one in took) >= 0.95 * len(took)


def test_room_is_where_an_end_makes_enough_of_it() -> None:
    small, large = a_class(1, slots=1), a_class(2, slots=2)
    one, two = a_worker("one", slots=1), a_worker("two", slots=2)
    workers = [(one, Free(0, 8.0, 0, 0)), (two, Free(0, 8.0, 0, 0))]
    running = [
        Running("one", 1, 7, 5.0),
        Running("two", 1, 7, 0.0),
        Running("two", 2, 8, 0.0),
        Running("gone", 1, 7, 9.0),
    ]
    took = {7: [10.0] * 5, 8: [60.0] * 5}
    classes = {1: small, 2: large}

    assert next_room_s(small, workers, running, classes, took) == 5.0
    assert next_room_s(large, workers, running, classes, took) == 60.0
    assert next_room_s(small, workers, running, classes, {}) is None


def groups(*pairs: tuple[int, int, int]) -> list[Group]:
    """Groups of (number, class, job priority), of ten ready tasks each."""
    return [Group(number, number, class_id, priority, 10) for number, class_id, priority in pairs]


def test_who_comes_first_is_of_higher_priority_or_older_and_can_run_where_it_can() -> None:
    classes: dict[int, TaskClass] = {1: a_class(1), 2: a_class(2, kind="nuke"), 3: a_class(3, queue="gpu")}
    older, own, later, urgent, other, gpu = groups(
        (1, 1, 50), (2, 1, 50), (3, 1, 50), (4, 1, 60), (5, 2, 90), (6, 3, 10)
    )
    everyone = [older, own, later, urgent, other, gpu]

    def count(*workers: Worker, fair: bool = False) -> int:
        return before(own, everyone, classes, workers, Budgets(), fair=fair)

    plain = a_worker("plain")
    assert count(plain) == 20, "the older one and the urgent one"
    assert count(plain, fair=True) == 10, "equal ones take turns"
    assert count(a_worker("both", kinds=["echo", "nuke"])) == 30
    assert count(a_worker("gpu", queues=["gpu", "default"])) == 30, "a worker's queues have an order"
    assert count(a_worker("gpu", queues=["default", "gpu"])) == 20
    assert count() == 0
