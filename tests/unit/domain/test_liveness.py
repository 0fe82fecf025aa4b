"""How a worker's connection turns: cut, dialled again, abandoned; and what silence says."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain import liveness
from coordinator.domain.worker import Connection, Duty, Worker, WorkerEvent

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_worker(connection: Connection = Connection.ONLINE) -> Worker:
    """A worker that is here."""
    return Worker("node-1", connection, Duty.AWAKE, 1, UUID(int=1), ["echo"], ["default"], 1)


def after(seconds: float) -> datetime:
    """So long from now."""
    return NOW + timedelta(seconds=seconds)


def test_a_cut_worker_is_suspect_at_once_and_abandoned_when_the_grace_is_over() -> None:
    worker = a_worker()
    assert liveness.turn(worker, WorkerEvent.CUT, NOW)
    assert (worker.connection, worker.cut_at, worker.suspect_at) == (Connection.SUSPECT, NOW, NOW)
    assert not liveness.is_abandoned(worker, NOW, after(1.9), 2.0)
    assert liveness.is_abandoned(worker, NOW, after(2.0), 2.0)
    assert liveness.is_abandoned(worker, NOW, NOW, 0.0)


def test_a_cut_from_before_we_listened_abandons_nobody() -> None:
    worker = a_worker()
    liveness.turn(worker, WorkerEvent.CUT, NOW)
    assert not liveness.is_abandoned(worker, after(0.1), after(3600), 2.0)


def test_a_heartbeat_that_may_have_been_under_way_shows_no_life() -> None:
    worker = a_worker()
    liveness.turn(worker, WorkerEvent.CUT, NOW)
    assert not liveness.shows_life(worker, after(0.5))
    assert liveness.shows_life(worker, after(1.0))


def test_a_late_worker_whose_instance_connects_again_stays_suspect_and_is_not_abandoned() -> None:
    worker = a_worker()
    liveness.turn(worker, WorkerEvent.CUT, NOW)
    assert liveness.turn(worker, WorkerEvent.DIALLED, after(1))
    assert (worker.connection, worker.cut_at, worker.suspect_at) == (Connection.SUSPECT, None, NOW)
    assert not liveness.is_abandoned(worker, NOW, after(100), 2.0)


@given(st.lists(st.tuples(st.sampled_from(list(WorkerEvent)), st.floats(0.0, 5.0)), max_size=40))
def test_whatever_happens_the_times_fit_the_state(events: list[tuple[WorkerEvent, float]]) -> None:
    worker, now = a_worker(Connection.OFFLINE), NOW
    for event, seconds in events:
        now += timedelta(seconds=seconds)
        before = worker.connection, worker.suspect_at, worker.cut_at
        if not liveness.turn(worker, event, now):
            assert before == (worker.connection, worker.suspect_at, worker.cut_at)
        present = worker.connection in (Connection.ONLINE, Connection.OFFLINE)
        assert (worker.suspect_at is None) == present
        assert worker.cut_at is None or worker.connection is Connection.SUSPECT
        assert worker.cut_at is None or worker.suspect_at is None or worker.suspect_at <= worker.cut_at
