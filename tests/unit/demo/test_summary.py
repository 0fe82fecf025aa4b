"""The summary says what the database says, also when that is bad news."""

from dataclasses import replace
from pathlib import Path

from coordinator.local.demo.summary import Ending, sentences
from coordinator.storage.tally import Tally

GOOD = Ending(
    tally=Tally(tasks=49, completed=49, attempts=51, accepted=49, lost=2, not_exactly_once=0),
    killed="agent-2",
    drained="agent-1",
    seconds=63.2,
    animation=Path("/pictures/zoom.png"),
    sheet=Path("/pictures/sheet.png"),
)


def test_a_good_end_is_told_in_numbers() -> None:
    text = "\n".join(sentences(GOOD))
    assert "49, completed 49" in text
    assert "51: 49 accepted, 2 lost, 0 ended otherwise" in text
    assert "every task was accepted exactly once" in text
    assert "agent-2, with SIGKILL" in text
    assert "63 s" in text
    assert "/pictures/zoom.png" in text


def test_the_promise_is_kept_only_when_each_task_has_one_accepted_attempt() -> None:
    assert GOOD.kept
    assert not replace(GOOD, tally=replace(GOOD.tally, not_exactly_once=1)).kept
    assert not replace(GOOD, tally=replace(GOOD.tally, completed=48)).kept
    assert not replace(GOOD, tally=replace(GOOD.tally, accepted=50)).kept


def test_a_broken_promise_is_said_plainly() -> None:
    broken = replace(GOOD, tally=replace(GOOD.tally, accepted=50, not_exactly_once=1))
    assert "promise    BROKEN: 1 tasks were not accepted exactly once" in list(sentences(broken))
