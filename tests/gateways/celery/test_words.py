"""Celery's words and ours, and which life of a worker an event is of. Each case names where Celery says or does so."""

import json
from typing import Any

import pytest

from coordinator.gateways.celery import lives, translate
from coordinator.gateways.celery.lives import Told, fold
from coordinator.gateways.celery.wire import Event, UnreadableError, decode, worker_events

NOW = 1_795_307_095.0
#: Celery 5.6, `worker/heartbeat.py`: a heartbeat as it is on the wire.
BEAT: dict[str, Any] = {
    "hostname": "w1@host1", "utcoffset": 0, "pid": 816, "clock": 2, "freq": 2.0, "active": 1, "processed": 5,
    "loadavg": [1.0, 1.0, 0.51], "sw_ident": "py-celery", "sw_ver": "5.6.2", "sw_sys": "Linux", "timestamp": NOW,
    "type": "worker-heartbeat",
}  # fmt: skip


def event(**fields: Any) -> Event:
    return Event.model_validate(BEAT | fields)


def folded(*events: tuple[float, dict[str, Any]], waited: bool = False) -> Told | None:
    """What is told after events that were heard at these seconds; each in a round of its own."""
    told: Told | None = None
    for at, fields in events:
        before = Told(told.life) if told is not None else None
        told = fold(before, "w1@host1", event(**fields), NOW + at, waited=waited)
    return told


def online(clock: int, at: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"type": "worker-online", "clock": clock, "timestamp": NOW + at} | fields


def beat(clock: int, at: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"clock": clock, "timestamp": NOW + at} | fields


def offline(clock: int, at: float, **fields: Any) -> tuple[float, dict[str, Any]]:
    return at, {"type": "worker-offline", "clock": clock, "timestamp": NOW + at} | fields


def test_a_heartbeat_is_a_sign_of_life_by_its_own_rhythm() -> None:
    """`worker/heartbeat.py`: freq, active, processed, loadavg; software by `sw_*`."""
    told = folded(beat(2, 0))
    assert told is not None
    assert told.heard is not None
    portrait = translate.portrait_of("w1@host1", told.heard, told.life.pid, told.life.born)
    assert (portrait.heartbeat_s, portrait.lost_after_s, portrait.software) == (2.0, 20.0, "py-celery 5.6.2")
    sign = translate.sign_of(told.heard)
    assert (sign.active, sign.open_sessions) == (True, 1)
    assert sign.stats == {"load": [1.0, 1.0, 0.51], "processed": 5, "clock": 2}


@pytest.mark.parametrize("offset", [-14, 0, 5.5], ids=["west", "none", "float of 5.7"])
def test_utcoffset_moves_nothing(offset: float) -> None:
    """`events/receiver.py`, celery #2482, #6213: an absolute time is not to be shifted."""
    assert translate.sign_of(event(utcoffset=offset)).at == translate.sign_of(event()).at


def test_the_answer_to_a_remote_heartbeat_says_that_it_lives_and_no_more() -> None:
    """`worker/control.py`, heartbeat: freq 5, no active, processed, loadavg."""
    told = folded(beat(2, 0), beat(3, 1, freq=5, active=None, processed=None, loadavg=None))
    assert told is not None
    assert told.heard is not None
    assert (told.life.active, told.life.processed) == (1, 5), "what it said before stands"
    portrait = translate.portrait_of("w1@host1", told.heard, told.life.pid, told.life.born)
    assert (portrait.heartbeat_s, translate.sign_of(told.heard).stats) == (None, None)


def test_a_reconnection_is_the_same_life_and_its_old_goodbye_says_nothing() -> None:
    """`worker/consumer/events.py`: what could not be sent is flushed before the new `worker-online`."""
    told = folded(online(1, 0), beat(5, 2), beat(6, 9), offline(7, 9), online(8, 9))
    assert told is not None
    assert (told.life.born, told.life.goodbye_at) == (int(NOW), None)
    assert not lives.is_due(told.life, NOW + 99)


def test_a_goodbye_counts_when_nothing_follows() -> None:
    """`worker/heartbeat.py`, stop: `worker-offline`."""
    told = folded(online(1, 0), offline(2, 5))
    assert told is not None
    assert (lives.is_due(told.life, NOW + 6), lives.is_due(told.life, NOW + 7)) == (False, True)


@pytest.mark.parametrize(
    ("after", "born"),
    [
        (online(1, 60, pid=900, processed=0), 60),
        (beat(1, 60, pid=900), 60),
        (online(1, 60, processed=0), 60),
        (online(90, 60, processed=0), 60),
        (online(90, 60, processed=5), 0),
        (beat(1, -30, pid=900), 0),
        (offline(99, 60, pid=900), 0),
        (beat(4, 60, pid=None), 0),
    ],
    ids=["restart", "restart unheard", "container", "container after mingle", "reconnection", "former process",
         "former goodbye", "no process"],
)  # fmt: skip
def test_which_life_an_event_is_of(after: tuple[float, dict[str, Any]], born: int) -> None:
    """`events/event.py`: pid and clock; containers give every process the same pid; mingle lifts clocks."""
    told = folded(online(1, 0, processed=0), beat(50, 2), after)
    assert told is not None
    assert told.life.born == int(NOW) + born


def test_an_old_event_says_nothing_whatever_its_clock_is() -> None:
    """RabbitMQ keeps what nobody reads; clocks are wrong (celery #1802, #5157)."""
    skewed = folded((0.0, {"timestamp": NOW - 3600}))
    assert skewed is not None
    assert skewed.heard is not None, "a wrong clock alone is not age"
    assert folded((0.0, {"timestamp": NOW - 600}), waited=True) is None
    late = folded(beat(2, 0), beat(3, 2), (60.0, {"clock": 9, "timestamp": NOW + 4}))
    assert late is not None
    assert late.heard is None
    again = folded(beat(2, 0), *((60.0 + at, {"clock": 9 + at, "timestamp": NOW + at}) for at in range(0, 20, 2)))
    assert again is not None
    assert again.heard is not None, "its clock was set: a queue holds nothing back for so long while it goes on"


def test_only_json_is_read_and_arrays_are_usual() -> None:
    """`events/dispatcher.py`, flush: `task.multi` with a list; kombu's other serializers are left alone."""
    events, wrong = worker_events(decode(json.dumps([BEAT, BEAT, {"type": 7}]).encode(), "application/json"))
    assert (len(events), wrong) == (2, 1)
    for body, content_type, reason in (
        (b"\x80\x04.", "application/x-python-serialize", "not-json"),
        (b"{", "application/json", "malformed"),
        (b"[" * 100_000, None, "malformed"),
        (json.dumps([1] * 10_001).encode(), "application/json", "oversized"),
    ):
        with pytest.raises(UnreadableError) as told:
            decode(body, content_type)
        assert told.value.reason == reason


def test_a_worker_s_name_holds_its_broker_unless_that_is_the_farm_s() -> None:
    assert translate.place_of(translate.foreign_id("", "w1@host1")) == ("", "w1@host1")
    assert translate.place_of(translate.foreign_id("rabbit:5672/shop", "w1@host1")) == ("rabbit:5672/shop", "w1@host1")
    assert translate.name_of("w1@host1") != translate.name_of(translate.foreign_id("rabbit:5672/shop", "w1@host1"))
