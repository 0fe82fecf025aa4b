"""Assignment around blocked workers: none of them is given what it is blocked for, and nobody goes without for it."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.matching import Candidate, Free, Group, offers, place
from coordinator.domain.planning import plan
from coordinator.domain.worker import Worker
from tests.unit.domain.test_matching import a_class, a_worker

ECHO = a_class()
NAMES = ("a", "b", "c")


def assign(workers: list[Worker], groups: list[Group], failed_on: dict[int, str] | None = None) -> dict[int, str]:
    """What assignment makes of these groups, by its own steps: task -> worker. Tasks of group n begin at n * 100."""
    offered = offers(((one, Free.of(one, {}, {})) for one in workers), [ECHO])
    looks = plan(groups, offered).looks
    known = {group.id: group for group in groups}
    candidates = [
        Candidate(
            number * 100 + place_, 1, known[number].job_priority, 50,
            frozenset((failed_on or {}).get(number * 100 + place_, "").split()), number,
        )
        for number, count in looks.items()
        for place_ in range(count)
    ]  # fmt: skip
    return {task.task_id: worker.id for worker, task in place(offered, candidates, workers, groups)}


GROUPS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.frozensets(st.sampled_from(NAMES))), min_size=1, max_size=6
).map(lambda drawn: [Group(n, n, 1, job, ready, blocked=who) for n, (job, ready, who) in enumerate(drawn, 1)])
WORKERS = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(
    lambda slots: [a_worker(name, slots=count) for name, count in zip(NAMES, slots, strict=False)]
)


@given(WORKERS, GROUPS)
def test_no_worker_gets_what_it_is_blocked_for_and_no_slot_stays_empty_that_could_be_filled(
    workers: list[Worker], groups: list[Group]
) -> None:
    placed = assign(workers, groups)

    by_id = {group.id: group for group in groups}
    used = dict.fromkeys((one.id for one in workers), 0)
    taken = dict.fromkeys(by_id, 0)
    for task, name in placed.items():
        assert name not in by_id[task // 100].blocked
        used[name] += 1
        taken[task // 100] += 1
    for worker in workers:
        if used[worker.id] < worker.slots:
            left = [g for g in groups if taken[g.id] < g.ready and worker.id not in g.blocked]
            assert left == []


def test_a_large_job_that_a_worker_is_blocked_in_does_not_hide_what_waits_behind_it() -> None:
    groups = [Group(1, 1, 1, 90, 50, blocked=frozenset("a")), Group(2, 2, 1, 10, 2)]

    assert set(assign([a_worker("a", slots=2)], groups).values()) == {"a"}
    both = assign([a_worker("a", slots=2), a_worker("b", slots=2)], groups)
    assert {task // 100: name for task, name in both.items()} == {1: "b", 2: "a"}


def test_a_task_may_come_back_to_a_worker_that_failed_it_when_the_only_other_one_is_blocked() -> None:
    group = [Group(1, 1, 1, 50, 1, blocked=frozenset("a"))]

    assert assign([a_worker("a"), a_worker("b")], group, {100: "b"}) == {100: "b"}
    open_ = [Group(1, 1, 1, 50, 1)]
    assert assign([a_worker("a"), a_worker("b")], open_, {100: "b"}) == {100: "a"}
