"""What a call of a worker behind a gateway makes the writer load: calls come all day, and most only say "I live"."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from coordinator.domain.worker import Connection, Duty, Worker
from coordinator.operations.foreign import Hear, Portrait, Sign, begins_a_life, changes_nothing
from coordinator.operations.ledger import Ledger
from coordinator.operations.pulling import Look, MayRun
from coordinator.operations.signs import Caller, Signs
from coordinator.operations.table import OPERATIONS
from coordinator.operations.wanted import Wanted

LIFE, OTHER = UUID(int=1), UUID(int=2)
PORTRAIT = Portrait("openwork", "wrk_1", 300.0, 900.0, "openwork")
NOW = datetime(2026, 3, 27, 6, tzinfo=UTC)


def wanted(*events: object) -> Wanted:
    """What these events need to see together."""
    found = Wanted()
    for event in events:
        OPERATIONS[type(event)].want(found, event)
    return found


def caller(**changes: Any) -> Caller:
    """A worker that has said all of its portrait before."""
    values = ("a", "openwork", "wrk_1", Connection.ONLINE, Duty.AWAKE, LIFE, None, True, 300.0, 900.0, "openwork")
    said = Caller(*values)
    return said._replace(**changes)


def test_calls_are_remembered_by_their_worker() -> None:
    first, second, third = Hear("a", PORTRAIT, instance=LIFE), Hear("b", PORTRAIT), Look("a")
    assert wanted(first, second, third) == Wanted(callers={"a": [first, third], "b": [second]})


def test_who_asks_whether_he_may_go_on_needs_a_glance_at_that_attempt() -> None:
    question = MayRun("a", 7, 2)
    assert wanted(question) == Wanted(callers={"a": [question]}, glances={(7, 2)})


@pytest.mark.parametrize("call", [Look("a"), MayRun("a", 7, 2), Hear("a", PORTRAIT), Hear("a", PORTRAIT, instance=LIFE),
                                  Hear("a", Portrait("openwork", "wrk_1"))])  # fmt: skip
def test_who_only_says_that_he_lives_changes_nothing_of_his_row(call: Any) -> None:
    assert changes_nothing(caller(), call)
    assert not begins_a_life(caller(), call)
    assert not changes_nothing(caller(connection=Connection.SUSPECT), call)
    assert not begins_a_life(caller(connection=Connection.SUSPECT), call)
    assert begins_a_life(caller(connection=Connection.LOST), call)
    assert begins_a_life(caller(connection=Connection.OFFLINE), call)


@pytest.mark.parametrize(
    "said",
    [
        Portrait("stencila", "wrk_1"),
        Portrait("openwork", "wrk_2"),
        Portrait("openwork", "wrk_1", heartbeat_s=60.0),
        Portrait("openwork", "wrk_1", lost_after_s=60.0),
        Portrait("openwork", "wrk_1", software="openwork 2"),
        Portrait("openwork", "wrk_1", platform={}),
        Portrait("openwork", "wrk_1", queues=()),
        Portrait("openwork", "wrk_1", slots=1),
        Portrait("openwork", "wrk_1", can_restart=False),
    ],
    ids=str,
)
def test_who_may_say_something_new_has_his_whole_row_loaded(said: Portrait) -> None:
    assert not changes_nothing(caller(), Hear("a", said))


def test_another_life_is_another_life() -> None:
    assert begins_a_life(caller(), Hear("a", PORTRAIT, instance=OTHER))


@pytest.mark.parametrize(
    "call",
    [
        Look("a"),
        Hear("a", PORTRAIT),
        Hear("a", PORTRAIT, Sign(seq=9, at=NOW + timedelta(days=1), active=True, open_sessions=2, stats={"load": []})),
        Hear("a", PORTRAIT, Sign(seq=1, at=NOW - timedelta(hours=1), active_at=NOW - timedelta(hours=2)), LIFE),
    ],
)
def test_the_answer_and_the_signs_are_the_same_whichever_was_loaded(call: Any) -> None:
    """The row in full, or what most answers need of it."""
    found = []
    said = caller(requested_state="offline", requested_lazy=False)
    for part in (True, False):
        ledger = Ledger(NOW)
        ledger.foreign.signs["a"] = Signs(5, NOW - timedelta(minutes=5), None, NOW - timedelta(hours=3), 1)
        if part:
            ledger.foreign.callers["a"] = said
        else:
            values = said._asdict()
            ledger.workers["a"] = Worker(epoch=1, kinds=[], queues=[], slots=1, **values)
            ledger.held["a"] = {}
        answer = OPERATIONS[type(call)].apply(ledger, call)
        assert not ledger.dirty_workers
        found.append((answer, ledger.foreign.signs, ledger.foreign.heard, ledger.foreign.telling, ledger.history))
    assert found[0] == found[1]
