"""Who is blocked, and who must not be: each a case that is easy to get wrong by one."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.blocklist import Mark, is_stranded, others, stands_out, to_be_blocked
from coordinator.domain.worker import Connection, Duty, Worker
from tests.unit.domain.test_matching import a_class, a_worker

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ECHO = [a_class()]


def marks(**failures: int) -> dict[str, Mark]:
    return {name: Mark(1, "echo", name, count) for name, count in failures.items()}


def blocked(of: str, workers: list[Worker], *, block_after: int = 3, **failures: int) -> bool:
    known = marks(**failures)
    return to_be_blocked(known[of], known, workers, ECHO, block_after)


def test_a_worker_is_blocked_at_its_third_failed_task_and_not_before() -> None:
    two = [a_worker("a"), a_worker("b")]

    assert not blocked("a", two, a=2)
    assert blocked("a", two, a=3)


def test_the_only_worker_is_never_blocked() -> None:
    assert not blocked("a", [a_worker("a")], a=100)


def test_of_two_workers_the_second_is_not_blocked_when_the_first_is() -> None:
    known = marks(a=3, b=50)
    known["a"].blocked_at = NOW

    assert not to_be_blocked(known["b"], known, [a_worker("a"), a_worker("b")], ECHO, 3)


@pytest.mark.parametrize(
    "other",
    [
        a_worker("b", connection=Connection.OFFLINE),
        a_worker("b", connection=Connection.LOST),
        a_worker("b", duty=Duty.QUARANTINED),
        a_worker("b", kinds=["render"]),
        a_worker("b", queues=["gpu"]),
    ],
    ids=["offline", "lost", "quarantined", "without-the-kind", "without-the-queue"],
)
def test_workers_that_are_gone_or_could_not_run_it_are_no_reason_to_block_the_last_one(other: Worker) -> None:
    assert not blocked("a", [a_worker("a"), other], a=3)
    assert is_stranded(ECHO[0], {"a"}, [a_worker("a"), other])


@pytest.mark.parametrize("duty", [Duty.ASLEEP, Duty.DRAINING, Duty.AWAKE])
def test_a_worker_that_comes_back_by_itself_is_worth_waiting_for(duty: Duty) -> None:
    both = [a_worker("a"), a_worker("b", duty=duty)]

    assert blocked("a", both, a=3)
    assert not is_stranded(ECHO[0], {"a"}, both)


def test_a_removed_worker_leaves_no_trace() -> None:
    assert not to_be_blocked(marks(a=3, removed=0)["a"], marks(a=3, removed=0), [a_worker("a")], ECHO, 3)


def test_a_worker_that_alone_can_run_some_of_the_jobs_tasks_is_not_blocked() -> None:
    both = [a_worker("a", memory_mb=64_000), a_worker("b")]
    large = a_class(2, memory_mb=32_000)

    assert not to_be_blocked(marks(a=9)["a"], marks(a=9), both, [*ECHO, large], 3)
    assert to_be_blocked(marks(b=9)["b"], marks(b=9), both, [*ECHO, large], 3)


def test_when_every_worker_fails_as_much_the_tasks_are_to_blame_and_nobody_is_blocked() -> None:
    four = [a_worker(name) for name in "abcd"]

    assert not blocked("a", four, a=4, b=3, c=4, d=5)
    assert not blocked("a", four, a=30, b=25, c=25, d=25)
    assert blocked("a", four, a=60, b=25, c=25, d=25)


def test_nobody_is_blocked_in_a_job_that_does_not_want_it() -> None:
    assert not blocked("a", [a_worker("a"), a_worker("b")], block_after=0, a=1000)


@given(st.integers(0, 50), st.lists(st.integers(0, 50), max_size=8), st.integers(1, 10))
def test_one_failure_more_never_unblocks_and_less_than_the_threshold_never_blocks(
    failures: int, of_others: list[int], block_after: int
) -> None:
    if stands_out(failures, of_others, block_after):
        assert stands_out(failures + 1, of_others, block_after)
        assert failures >= block_after
        assert of_others


class Play:
    """A job's failures as they happen, by the rules alone: who has failed what, who is blocked."""

    def __init__(self, workers: list[Worker], block_after: int) -> None:
        self.workers, self.block_after = workers, block_after
        self.marks: dict[str, Mark] = {}
        self.failed_on: dict[int, list[str]] = {}

    def blocked(self) -> set[str]:
        return {name for name, mark in self.marks.items() if mark.blocked_at is not None}

    def fail(self, task: int, name: str) -> None:
        before = self.failed_on.setdefault(task, [])
        if name in before:
            return
        if not before:
            self.marks.setdefault(name, Mark(1, "echo", name)).failures += 1
        elif len(before) == 1:
            self.marks[before[0]].failures = max(0, self.marks[before[0]].failures - 1)
        before.append(name)
        for mark in self.marks.values():
            wanted = to_be_blocked(mark, self.marks, self.workers, ECHO, self.block_after)
            mark.blocked_at = NOW if wanted else None

    def leave(self, name: str) -> None:
        self.workers = [one for one in self.workers if one.id != name]
        if is_stranded(ECHO[0], self.blocked(), self.workers):
            for mark in self.marks.values():
                mark.failures, mark.blocked_at = 0, None


STEPS = st.lists(st.tuples(st.sampled_from("fffl"), st.integers(0, 12), st.integers(0, 5)), max_size=60)


@given(st.integers(1, 6), st.integers(1, 4), STEPS)
def test_somebody_is_left_whatever_fails_wherever_and_whoever_leaves(
    count: int, block_after: int, steps: list[tuple[str, int, int]]
) -> None:
    play = Play([a_worker(f"w{number}") for number in range(count)], block_after)
    for what, task, number in steps:
        left = [one.id for one in play.workers if one.id not in play.blocked()]
        if not play.workers:
            return
        if what == "f":
            play.fail(task, left[number % len(left)])
        else:
            play.leave(play.workers[number % len(play.workers)].id)
        assert not play.workers or {one.id for one in play.workers} - play.blocked()


def test_a_bad_worker_among_good_ones_is_blocked_and_bad_tasks_block_nobody() -> None:
    workers = [a_worker(name) for name in "abc"]
    play = Play(workers, 3)
    for task in range(3):
        play.fail(task, "a")
    assert play.blocked() == {"a"}

    play = Play(workers, 3)
    for task in range(50):
        for name in "abc":
            play.fail(task, name)
            assert play.blocked() == set()


def test_who_was_blocked_for_bad_tasks_is_unblocked_when_another_worker_fails_them_too() -> None:
    play = Play([a_worker("a"), a_worker("b")], 3)
    for task in range(3):
        play.fail(task, "a")
    assert play.blocked() == {"a"}

    play.fail(0, "b")

    assert play.blocked() == set()


def test_the_classes_that_a_worker_could_not_run_anyway_do_not_keep_it_from_being_blocked() -> None:
    assert others("a", (), [a_worker("a"), a_worker("b")], [*ECHO, a_class(2, gpus=4)]) is not None
