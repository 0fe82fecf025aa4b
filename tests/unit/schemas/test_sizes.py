"""What must fit one message does, and lists are split so that they fit, in order."""

from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.base import MAX_INT, MAX_MESSAGE_BYTES
from schemas.envelope import FromWorker, ToWorker, decode_from_worker, decode_to_worker, size_of, split
from schemas.task import Held, Judged, Limits, Outcome, Phase, TaskFinished, Verdict, Verdicts
from schemas.worker import MAX_HELD, MAX_SLOTS, Capacity, Duty, Platform, WorkerHeartbeat, WorkerOnline
from tests.support.chance import examples

LONGEST_ATTEMPT = 2**31 - 1
#: A character that takes as many bytes as any.
WIDE = "\U0001f600"
WORDS = [f"{number:02d}".rjust(64, "x") for number in range(64)]


def an_envelope_of(*events: WorkerOnline | WorkerHeartbeat) -> bytes:
    """The longest envelope there is around *events*."""
    return (
        FromWorker(
            v=1000,
            worker="w" * 64,
            epoch=MAX_INT,
            instance=UUID(int=2**128 - 1),
            seq=MAX_INT,
            sent_at="9999-12-31T23:59:59.999999+23:59",  # the longest way to write it
            events=list(events),
        )
        .model_dump_json(exclude_none=True)
        .encode()
    )


def held(outcome: Outcome | None = None) -> Held:
    phase = Phase.FINISHED if outcome else Phase.STOPPING
    return Held(task=MAX_INT, attempt=LONGEST_ATTEMPT, phase=phase, done=MAX_INT, outcome=outcome)


def test_a_heartbeat_of_five_hundred_slots_fits_one_message_whatever_they_hold() -> None:
    beat = WorkerHeartbeat(
        duty=Duty.QUARANTINED,
        holds=[held(Outcome.INTERRUPTED)] * MAX_HELD,
        queues=WORDS,
        open_sessions=MAX_INT,
        last_activity_at="9999-12-31T23:59:59.999999+23:59",
    )
    body = an_envelope_of(beat)
    message, _ = decode_from_worker(body)
    assert message.events == [beat]
    assert MAX_SLOTS <= MAX_HELD


def test_an_online_of_five_hundred_full_slots_fits_one_message() -> None:
    online = WorkerOnline(
        boot_id=WIDE * 100,
        software=WIDE * 64,
        platform=Platform(os=WIDE * 200, arch=WIDE * 64, hostname=WIDE * 200, python=WIDE * 64),
        kinds=WORDS,
        queues=WORDS,
        tags=WORDS,
        zone="z" * 64,
        capacity=Capacity(slots=MAX_SLOTS, cpus=4095.123456789012, memory_mb=2**40, gpus=1024),
        duty=Duty.QUARANTINED,
        enforces=list(Limits.model_fields),
        holds=[held()] * MAX_HELD,
    )
    message, _ = decode_from_worker(an_envelope_of(online))
    assert message.events == [online]


@given(sizes=st.lists(st.integers(1, MAX_MESSAGE_BYTES - 1024), max_size=60))
def test_split_keeps_every_item_in_order_and_every_part_fits(sizes: list[int]) -> None:
    parts = list(split(enumerate(sizes)))
    assert [number for part in parts for number in part] == list(range(len(sizes)))
    assert all(part for part in parts)
    for part in parts:
        assert sum(sizes[number] for number in part) + len(part) <= MAX_MESSAGE_BYTES - 1024 + 1
    for before, after in pairwise(parts):
        full = sum(sizes[number] + 1 for number in before) + sizes[after[0]] + 1
        assert full > MAX_MESSAGE_BYTES - 1024, "the next item would have fitted"


@given(counts=st.lists(st.integers(0, 500), min_size=1, max_size=40), wide=st.booleans())
@settings(max_examples=examples(0.2))
def test_what_was_split_is_read_again_as_it_was(counts: list[int], wide: bool) -> None:  # noqa: FBT001 - drawn
    judged = Judged(task=MAX_INT if wide else 1, attempt=LONGEST_ATTEMPT, verdict=Verdict.SUPERSEDED)
    commands = [Verdicts(verdicts=[judged] * count) for count in counts]
    read = []
    for part in split((command, size_of(command)) for command in commands):
        body = ToWorker(worker="w" * 64, epoch=MAX_INT, commands=part).model_dump_json().encode()
        assert len(body) <= MAX_MESSAGE_BYTES
        read += decode_to_worker(body)[0].commands
    assert read == commands


def test_an_item_that_fits_no_message_is_refused_by_name_and_size() -> None:
    with pytest.raises(ValueError, match="a TaskFinished of 64513 bytes does not fit a message of 65536"):
        list(split([(TaskFinished(task=1, attempt=1, outcome=Outcome.COMPLETED), 64513)]))
