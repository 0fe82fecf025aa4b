"""When a job has had enough failures."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.job import Policy, verdict_on


@st.composite
def jobs(draw: st.DrawFn) -> tuple[int, int]:
    total = draw(st.integers(1, 10_000))
    return draw(st.integers(0, total)), total


@given(jobs())
def test_a_job_goes_on_whatever_fails_unless_its_submitter_said_otherwise(job: tuple[int, int]) -> None:
    assert verdict_on(Policy(), failed=job[0], total=job[1]) is None


@given(jobs())
def test_a_job_that_fails_fast_ends_with_the_first_failure_and_not_before(job: tuple[int, int]) -> None:
    assert (verdict_on(Policy(fail_share=0), failed=job[0], total=job[1]) is not None) == (job[0] > 0)


@given(jobs(), st.integers(1, 100))
def test_a_job_fails_exactly_when_the_share_is_reached_nothing_is_cut_off(job: tuple[int, int], percent: int) -> None:
    failed, total = job
    fails = verdict_on(Policy(fail_share=percent / 100), failed=failed, total=total) is not None

    exact = failed > 0 and Fraction(failed) >= Fraction(percent, 100) * total
    assert fails == exact


def test_nineteen_of_two_hundred_are_less_than_a_tenth_and_twenty_are_one() -> None:
    tenth = Policy(fail_share=0.1)

    assert verdict_on(tenth, failed=19, total=200) is None
    assert verdict_on(tenth, failed=20, total=200) == "20 of 200 tasks have failed: the job fails at 0.1 of them"
