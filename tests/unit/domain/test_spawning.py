"""How much may be added while a job runs: never more than the bounds, and all that is within them."""

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.spawning import MOST_DEPTH, MOST_OF_ONE, refusal

COUNTS = st.integers(1, 600)


@given(st.lists(st.tuples(st.integers(0, 3), COUNTS), max_size=30), st.integers(0, 3000))
def test_whatever_runs_add_no_bound_is_exceeded_and_nothing_within_them_is_refused(
    wishes: list[tuple[int, int]], most: int
) -> None:
    of_run = dict.fromkeys(range(4), 0)
    for run, count in wishes:
        of_job = sum(of_run.values())
        why = refusal(count, of_run=of_run[run], of_job=of_job, most_of_job=most, depth=1)
        assert (why is None) == (of_run[run] + count <= MOST_OF_ONE and of_job + count <= most)
        of_run[run] += 0 if why else count
    assert max(of_run.values()) <= MOST_OF_ONE
    assert sum(of_run.values()) <= most


@given(st.integers(1, 20), COUNTS)
def test_what_is_added_may_add_so_many_times_over_and_no_more(depth: int, count: int) -> None:
    why = refusal(count, of_run=0, of_job=0, most_of_job=1_000_000, depth=depth)
    assert (why is None) == (depth <= MOST_DEPTH)
    assert why is None or why == f"it would be {depth} tasks deep, more than {MOST_DEPTH}"


def test_each_bound_may_be_reached_to_the_last_task() -> None:
    assert refusal(MOST_OF_ONE, of_run=0, of_job=0, most_of_job=MOST_OF_ONE, depth=MOST_DEPTH) is None
    assert refusal(1, of_run=MOST_OF_ONE, of_job=0, most_of_job=10**6, depth=1) == (
        "this run would have added 1001 tasks, more than 1000"
    )
    assert refusal(1, of_run=0, of_job=7, most_of_job=7, depth=1) == (
        "the job would have 8 added tasks, more than its max_spawned of 7"
    )
    assert refusal(1, of_run=0, of_job=0, most_of_job=0, depth=1) is not None
