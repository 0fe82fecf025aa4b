"""Which life of a worker an event is of, and whether it says anything of now. Each case names where Celery says or does
so."""

from typing import Any

import pytest

from coordinator.gateways.celery import lives, translate
from coordinator.gateways.celery.lives import Told, fold
from coordinator.gateways.celery.wire import Event

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
    portrait = translate.portrait_of(told.life, told.heard)
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
    portrait = translate.portrait_of(told.life, told.heard)
    assert (portrait.heartbeat_s, translate.sign_of(told.heard).stats) == (None, None)


def test_a_reconnection_is_the_same_life_and_its_old_goodbye_says_nothing() -> None:
    """`worker/consumer/events.py`: what could not be sent is flushed before the new `worker-online`."""
    told = folded(online(1, 0), beat(5, 2), beat(6, 9), offline(7, 9), online(8, 9))
    assert told is not None
    assert (told.life.born, told.life.goodbye_at) == (int(NOW), None)
    assert not lives.is_due(told.life, NOW + 99)
    assert told.life.unasked, "its inbox is added again (celery #987)"


def test_a_goodbye_counts_when_nothing_follows() -> None:
    """`worker/heartbeat.py`, stop: `worker-offline`."""
    told = folded(online(1, 0), offline(2, 5))
    assert told is not None
    assert (lives.is_due(told.life, NOW + 9), lives.is_due(told.life, NOW + 10)) == (False, True)


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


def numbers(*events: tuple[float, dict[str, Any]]) -> list[int]:
    """By what the farm tells these words from older ones."""
    found, told = [], None
    for at, fields in events:
        told = fold(Told(told.life) if told is not None else None, "w1@host1", event(**fields), NOW + at, waited=False)
        if told is not None and told.heard is not None:
            found.append(translate.sign_of(told.heard, told.life.lag).seq or 0)
    return found


@pytest.mark.parametrize("by_s", [-3600.0, 3600.0, -86_400.0 * 365], ids=["back", "forth", "to its battery's end"])
def test_a_clock_that_is_set_hides_nobody(by_s: float) -> None:
    """Celery #1802, #5157, #2565: nothing of a worker may hang on its clock. Its beats count again before it is lost,
    and what tells them from older ones goes on; the next process is another life at once, or as soon as they count."""
    wrong = [(20.0 + at, {"clock": 11 + at, "timestamp": NOW + 20 + at + by_s}) for at in range(0, 19, 2)]
    told = folded(*(beat(at, at) for at in range(1, 11)), *wrong)
    assert told is not None
    assert told.life.heard_at >= NOW + 36
    assert told.life.heard_at - (NOW + 10) < translate.LOST_AFTER_S + 10, "it may be suspect meanwhile, and no more"
    said = numbers(*(beat(at, at) for at in range(1, 11)), *wrong)
    assert said == sorted(said)
    assert abs(said[-1] / 1000 - (NOW + 38)) < 5
    again = online(1, 40, pid=900, processed=0)[1] | {"timestamp": NOW + 40 + by_s}
    after = folded(*(beat(at, at) for at in range(1, 11)), *wrong, (40.0, again))
    assert after is not None
    assert (after.life.pid, after.life.born) == (900, int(NOW) + 40)


def test_a_machine_that_comes_back_with_another_clock_is_another_life() -> None:
    """A board without a battery begins in the past: all that its new process says is older than what the last said."""
    first = [online(1, 0), *(beat(one + 2, one) for one in range(1, 30, 2))]
    second = [
        (60.0 + at, {"pid": 30, "clock": 1 + at, "timestamp": NOW - 99_999 + at, "type": type_})
        for at, type_ in [(0, "worker-online"), *((at, "worker-heartbeat") for at in range(2, 20, 2))]
    ]
    told = folded(*first, *second)
    assert told is not None
    assert (told.life.pid, told.life.heard_at) == (30, NOW + 78)
    same = folded(*first, *((at, fields | {"pid": 816}) for at, fields in second))
    assert same is not None
    assert same.life.heard_at == NOW + 78
    assert same.life.unasked, "in a container it has the number of the last: its uptime tells them apart"


def test_a_container_s_next_process_is_heard_without_its_beginning() -> None:
    """Its number is the same, its count begins anew: not old is what has a later time."""
    told = folded(online(1, 0), beat(500, 2))
    assert told is not None
    told.life.unasked = False
    for at in (60, 62):
        told = fold(Told(told.life), "w1@host1", event(clock=at - 58, timestamp=NOW + at), NOW + at, waited=False)
        assert told is not None
        assert told.heard is not None
    assert told.life.unasked, "asked for its uptime, it is found to be another"


def test_of_two_workers_of_one_name_the_later_counts() -> None:
    """kombu, `pidbox.py`, "already using this process mailbox": it only warns, and their process numbers alternate."""
    pairs = [(beat(10 + at, at), beat(10 + at, at + 1, pid=900)) for at in range(4, 20, 2)]
    told = folded(online(1, 0), beat(2, 2), online(1, 3, pid=900), *(one for pair in pairs for one in pair))
    assert told is not None
    assert (told.life.pid, told.life.born, told.life.twin) == (900, int(NOW) + 3, True)
    alone = folded(online(1, 0), online(1, 3, pid=900), beat(50, 40))
    assert alone is not None
    assert alone.life.pid == 816, "when the later has been silent for long"
