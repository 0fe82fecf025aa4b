"""Capacity: as many workers as are named would be filled, and who is stopped is missed by nobody."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.budget import Budgets, Scope
from coordinator.domain.capacity import demand, fitting, stoppable, wanted
from coordinator.domain.lanes import Candidate
from coordinator.domain.matching import Free, Group, TaskClass, could_take, eligible, offers, place
from coordinator.domain.worker import Duty, Worker
from tests.unit.domain.test_explain import CLASSES, workers
from tests.unit.domain.test_matching import a_class, a_worker


@given(workers(), CLASSES, st.integers(1, 30))
def test_so_many_more_usual_workers_would_be_filled_and_one_less_would_not_do(
    some: list[Worker], need: TaskClass, waiting: int
) -> None:
    (found,) = wanted({1: waiting}, {}, {1: need}, some)
    model = a_worker(
        queues=[need.queue],
        kinds=[need.kind],
        tags=sorted(need.tags),
        labels=sorted(need.labels),
        zone=need.zone or "a",
        supervises=sorted(need.exclusive),
        slots=need.slots * found.per_worker,
        cpus=need.cpus * found.per_worker,
        memory_mb=need.memory_mb * found.per_worker,
    )

    def placed(count: int) -> int:
        farm = [replace(model, id=f"new-{number}") for number in range(count)]
        offered = offers([(one, Free.of(one, {}, {})) for one in farm], [need])
        tasks = [Candidate(number, 1, 50, 50, frozenset(), 1) for number in range(waiting)]
        return len(place(offered, tasks, farm, [Group(1, 1, 1, 50, waiting)]))

    assert placed(found.workers) == waiting
    assert placed(found.workers - 1) < waiting
    assert found.capable == sum(eligible(one, need) for one in some)


@given(workers(6), st.lists(CLASSES, max_size=3), st.sets(st.integers(0, 5)))
def test_who_is_stopped_is_idle_and_leaves_nothing_that_nobody_else_takes(
    some: list[Worker], classes: list[TaskClass], busy: set[int]
) -> None:
    idle = {worker.id for number, worker in enumerate(some) if number not in busy}

    stopped = set(stoppable(idle, some, classes, classes[:1]))

    assert stopped <= idle
    staying = [worker for worker in some if worker.id not in stopped]
    for need in classes:
        assert any(could_take(one, need) for one in staying) == any(could_take(one, need) for one in some)
    assert not any(could_take(one, need) for one in some if one.id in stopped for need in classes[:1])


def test_what_is_paused_or_at_a_limit_could_use_nobody() -> None:
    claims = (((Scope.LICENSE, "houdini"), 2),)
    groups = [
        Group(1, 1, 1, 50, 100, canceling=True),
        Group(2, 2, 2, 50, 100, claims=claims),
        Group(3, 3, 2, 90, 2, claims=claims),
        Group(4, 4, 3, 50, 7),
    ]

    budgets = Budgets({(Scope.LICENSE, "houdini"): 10}, {(Scope.LICENSE, "houdini"): 1})

    assert demand(groups, budgets) == {2: 4, 3: 7}


def test_a_usual_worker_is_the_median_of_those_that_could() -> None:
    farm = [a_worker("small", slots=1), a_worker("usual", slots=4), a_worker("large", slots=32)]

    assert fitting(a_class(slots=2), farm) == 2
    assert fitting(a_class(slots=64), farm) == 1
    assert fitting(a_class(), []) == 1


def test_those_that_sleep_are_named_because_they_can_be_woken_instead() -> None:
    farm = [a_worker("a", duty=Duty.ASLEEP), a_worker("b"), a_worker("c", duty=Duty.ASLEEP, kinds=["other"])]

    (found,) = wanted({1: 9}, {1: 2}, {1: a_class()}, farm)

    assert (found.workers, found.per_worker, found.capable, found.asleep) == (2, 4, 2, ("a",))
