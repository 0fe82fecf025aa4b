"""Why a worker rests, in words."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from coordinator.domain.rest import rest_of
from coordinator.domain.worker import Asked, Duty, takes_work
from tests.unit.domain.test_matching import a_worker

SEVEN = datetime(2026, 1, 15, 6, 0, tzinfo=UTC)


def sentence(**fields: Any) -> str:
    return rest_of(asdict(a_worker(**fields))).sentence


def test_it_says_who_wanted_it_and_until_when() -> None:
    assert sentence() == ""
    assert (
        sentence(
            duty=Duty.ASLEEP,
            requested_state="asleep",
            requested_source="schedule",
            requested_by="sleep schedule",
            sleep_schedule={"zone": "Europe/Berlin", "ranges": []},
            sleep_next_at=SEVEN,
        )
        == "asleep until Thu 07:00 Europe/Berlin by its sleep schedule"
    )
    asked = {"requested_source": "operator", "requested_by": "ana", "requested_reason": "fan"}
    assert sentence(duty=Duty.QUARANTINED, requested_state="quarantined", **asked) == "quarantined by ana: fan"
    assert sentence(requested_state="drain", **asked) == "asked to be draining after what it holds by ana: fan"
    assert (
        sentence(requested_state="restart", requested_deadline_at=SEVEN, **asked)
        == "asked to restart after what it holds by ana, at once from 06:00 UTC: fan"
    )
    assert sentence(requested_state="offline", requested_lazy=False, **asked) == "asked to stop by ana: fan"
    assert sentence(duty=Duty.ERROR, reason="the disk is full") == "not able to work: the disk is full"


@given(st.sampled_from(list(Duty)), st.none() | st.sampled_from(list(Asked)))
def test_who_takes_no_work_has_a_reason(duty: Duty, asked: Asked | None) -> None:
    worker = a_worker(duty=duty, requested_state=asked)
    assert (sentence(duty=duty, requested_state=asked) == "") <= takes_work(worker)
