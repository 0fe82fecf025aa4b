"""What a call of a worker behind a gateway makes the writer load: calls come all day, and most only say "I live"."""

from uuid import UUID

from coordinator.operations.foreign import Hear, Portrait
from coordinator.operations.pulling import Look, MayRun
from coordinator.operations.table import OPERATIONS
from coordinator.operations.wanted import Wanted

LIFE, OTHER = UUID(int=1), UUID(int=2)
PORTRAIT = Portrait("openwork", "wrk_1")


def wanted(*events: object) -> Wanted:
    """What these events need to see together."""
    found = Wanted()
    for event in events:
        OPERATIONS[type(event)].want(found, event)
    return found


def test_who_only_lives_needs_nothing_but_himself() -> None:
    heard = wanted(Hear("a", PORTRAIT, instance=LIFE), Hear("b", PORTRAIT), Hear("a", PORTRAIT, instance=OTHER))
    assert heard == Wanted(callers={"a": {LIFE, OTHER}, "b": set()})
    assert wanted(Look("a")) == Wanted(callers={"a": set()})


def test_who_asks_whether_he_may_go_on_needs_a_glance_at_that_attempt() -> None:
    assert wanted(MayRun("a", 7, 2)) == Wanted(callers={"a": set()}, glances={(7, 2)})
