"""Idle workers: told once, asked when it is certain, left alone in doubt."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.asking import Source
from coordinator.domain.idle import Activity, IdleAction, IdlePolicy, idle_since, judge
from coordinator.domain.worker import Asked, Connection, Duty
from tests.unit.domain.test_matching import a_worker

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
STOP = IdlePolicy(IdleAction.STOP, 1800)
NOTIFY = IdlePolicy(IdleAction.NOTIFY, 1800)


def ago(minutes: float) -> datetime:
    return NOW - timedelta(minutes=minutes)


def test_a_worker_that_has_had_nothing_to_do_for_long_is_asked_to_stop() -> None:
    assert judge(a_worker(), Activity(0, 0, ago(30)), STOP, NOW) is IdleAction.STOP
    assert judge(a_worker(), Activity(0, 0, ago(29)), STOP, NOW) is IdleAction.OFF
    assert judge(a_worker(duty=Duty.ASLEEP, requested_state="asleep"), Activity(0, 0, ago(60)), STOP, NOW) == "stop"


def test_a_refusal_counts_as_activity() -> None:
    worker = a_worker(idle_refused_at=ago(10))
    assert judge(worker, Activity(0, 0, ago(60)), STOP, NOW) is IdleAction.OFF
    assert idle_since(worker, Activity(0, 0, ago(60))) == ago(10)


def test_each_time_that_it_is_idle_is_told_once() -> None:
    assert judge(a_worker(), Activity(0, 0, ago(40)), NOTIFY, NOW) is IdleAction.NOTIFY
    assert judge(a_worker(idle_noted_at=ago(5)), Activity(0, 0, ago(40)), NOTIFY, NOW) is IdleAction.OFF
    assert judge(a_worker(idle_noted_at=ago(90)), Activity(0, 0, ago(40)), NOTIFY, NOW) is IdleAction.NOTIFY


@given(
    connection=st.sampled_from(list(Connection)),
    duty=st.sampled_from(list(Duty)),
    asked=st.none() | st.sampled_from(list(Asked)),
    holds=st.integers(0, 2),
    sessions=st.integers(0, 2),
    minutes=st.none() | st.floats(0, 100),
)
def test_in_doubt_nothing_is_stopped(
    *, connection: Connection, duty: Duty, asked: Asked | None, holds: int, sessions: int, minutes: float | None
) -> None:
    worker = a_worker(connection=connection, duty=duty, requested_state=asked, requested_source=Source.OPERATOR)
    active_at = None if minutes is None else ago(minutes)

    if judge(worker, Activity(holds, sessions, active_at), STOP, NOW) is not IdleAction.OFF:
        assert connection is Connection.ONLINE
        assert duty in (Duty.AWAKE, Duty.ASLEEP)
        assert asked in (None, Asked.AWAKE, Asked.ASLEEP)
        assert (holds, sessions) == (0, 0)
        assert active_at is not None
        assert NOW - active_at >= timedelta(minutes=30)
