"""Who is believed about the end of an exclusive attempt, and when time is enough."""

from datetime import UTC, datetime, timedelta

import pytest

from coordinator.domain.attempt import AttemptEvent
from coordinator.domain.lease import Lease, Released, expired, margin_s, released_by

UNTIL = datetime(2026, 1, 1, tzinfo=UTC)
FREE_AT = UNTIL + timedelta(seconds=margin_s(30))


@pytest.mark.parametrize("event", list(AttemptEvent))
def test_only_the_workers_own_report_releases_what_was_granted(event: AttemptEvent) -> None:
    said = event in (AttemptEvent.REPORTED, AttemptEvent.ACCEPTED_LATE)
    granted = Lease(1, 1, "node-1", UNTIL, FREE_AT)
    assert released_by(granted, event) is (Released.SAID if said else None)
    never = Lease(1, 1, "node-1")
    assert released_by(never, event) is (Released.SAID if said else Released.NEVER_GRANTED)


def test_time_releases_it_a_twentieth_after_its_end() -> None:
    lease = Lease(1, 1, "node-1", UNTIL, FREE_AT)
    assert timedelta(seconds=1.5) == FREE_AT - UNTIL
    assert not expired(lease, UNTIL + timedelta(seconds=1.499))
    assert expired(lease, FREE_AT)
