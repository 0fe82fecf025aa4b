"""What changes about a running job: however often, its groups require what has been said, and nothing is told twice."""

from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.job import Job, JobState
from coordinator.operations.changes import MOST_TAGS, ChangePriority, ChangeTags, priority, tags
from coordinator.operations.ledger import Ledger
from coordinator.operations.records import GroupRow
from coordinator.operations.requests import InvalidError
from tests.unit.domain.test_matching import a_class

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = st.sets(st.sampled_from(["a100", "nvme", "linux", "quiet"])).map(lambda some: tuple(sorted(some)))


def a_ledger(*required: frozenset[str]) -> Ledger:
    """A job whose groups require these tags."""
    ledger = Ledger(NOW)
    ledger.jobs[1] = Job(1, 50, JobState.ACTIVE, total=3, expanded=3, first_task=1)
    for number, words in enumerate(required, 1):
        ledger.groups[number] = GroupRow(number, 1, number, ready=1)
        ledger.recurring.classes[number] = a_class(number, tags=words)
        ledger.recurring.groups_of.setdefault(1, []).append(number)
    return ledger


@given(st.lists(st.frozensets(st.sampled_from(["a100", "linux"])), max_size=3), st.lists(st.tuples(WORDS, WORDS)))
def test_the_groups_require_what_was_said_last(
    required: list[frozenset[str]], changes: list[tuple[tuple[str, ...], tuple[str, ...]]]
) -> None:
    ledger, expected = a_ledger(*required), [set(one) for one in required]
    for add, remove in changes:
        told = len(ledger.history)
        before = [set(one) for one in expected]
        for words in expected:
            words |= set(add)
            words -= set(remove)
        count = tags(ledger, ChangeTags(1, "ana", add, remove)).count
        assert count == sum(one != other for one, other in zip(before, expected, strict=True))
        assert len(ledger.history) == told + bool(count), "what changes nothing is not told"
    now = [ledger.recurring.reclassed.get(n) or ledger.recurring.classes[n] for n in ledger.groups]
    assert [set(one.tags) for one in now] == expected


@given(st.lists(st.integers(0, 100)))
def test_the_last_priority_counts_and_each_change_is_told_once(wanted: list[int]) -> None:
    ledger = a_ledger(frozenset())
    for one in wanted:
        priority(ledger, ChangePriority(1, one, "ana"))
    steps = [50, *wanted]
    changes = [(old, new) for old, new in pairwise(steps) if old != new]
    assert ledger.jobs[1].priority == steps[-1]
    assert [(entry.detail["from"], entry.detail["to"]) for entry in ledger.history if entry.detail] == changes
    assert ledger.work_appeared == bool(changes)


def test_too_many_tags_are_refused() -> None:
    with pytest.raises(InvalidError, match=f"more than {MOST_TAGS}"):
        tags(a_ledger(frozenset()), ChangeTags(1, "ana", tuple(f"t{n}" for n in range(MOST_TAGS + 1))))
