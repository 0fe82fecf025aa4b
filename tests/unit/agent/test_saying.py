"""What an agent says: envelopes that fit, whatever is in them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.base import MAX_MESSAGE_BYTES
from schemas.envelope import decode_from_worker
from schemas.task import Held, Outcome, Phase, TaskFinished, TaskStarted
from schemas.worker import MAX_SLOTS, Duty, Gpu, MachineStats, WorkerHeartbeat, WorkerOnline
from worker_agent.config import Settings, load
from worker_agent.machine_stats import Sampler
from worker_agent.outbox import FINISHED, STARTED, Envelopes, Outbox
from worker_agent.presence import Offers, Presence

INSTANCE = "6b0e2f0e-7b39-4a53-8d0f-1f1f8d1a2b3c"
LARGEST = 2**63 - 1


@pytest.fixture
def presence(tmp_path: Path) -> Presence:
    """An agent with every list as long as it may be."""
    words = [f"{number:064}" for number in range(64)]
    fields = {"data_dir": tmp_path, "queues": words, "tags": words, "kinds": words, "slots": MAX_SLOTS}
    return Presence(load(None, fields), Offers(), "boot")


def held(phase: Phase, count: int = MAX_SLOTS) -> list[Held]:
    outcome = Outcome.INTERRUPTED if phase is Phase.FINISHED else None
    return [
        Held(task=LARGEST - number, attempt=2**31 - 1, phase=phase, done=LARGEST, outcome=outcome)
        for number in range(count)
    ]


def a_large_machine() -> MachineStats:
    gpu = Gpu(name="g" * 200, percent=99.9, memory_used=LARGEST, memory_total=LARGEST, temperature=99.9)
    return MachineStats(cores_percent=[99.9] * 1024, gpus=[gpu] * 64)


def sent(event: bytes) -> WorkerHeartbeat | WorkerOnline:
    body = Envelopes("w" * 64, INSTANCE).wrap([event])
    assert len(body) <= MAX_MESSAGE_BYTES
    envelope, unknown = decode_from_worker(body)
    assert unknown == 0
    (said,) = envelope.events
    assert isinstance(said, WorkerHeartbeat | WorkerOnline)
    return said


@pytest.mark.parametrize("phase", list(Phase))
def test_a_heartbeat_with_500_slots_in_use_fits_a_message(presence: Presence, phase: Phase) -> None:
    beat = sent(presence.heartbeat(Duty.AWAKE, held(phase), a_large_machine()))
    assert isinstance(beat, WorkerHeartbeat)
    if phase is not Phase.FINISHED:
        assert len(beat.holds) == MAX_SLOTS, "what runs is never left out"
    else:
        assert beat.holds[-1].task == LARGEST - MAX_SLOTS + 1, "the newest stay"


def test_a_usual_heartbeat_of_500_slots_keeps_its_statistics(tmp_path: Path) -> None:
    presence = Presence(load(None, {"data_dir": tmp_path, "slots": MAX_SLOTS}), Offers(["exec"]), "boot")
    holds = [Held(task=1_000_000 + number, attempt=3, phase=Phase.RUNNING, done=77) for number in range(MAX_SLOTS)]
    beat = sent(presence.heartbeat(Duty.AWAKE, holds, MachineStats(cores_percent=[50.0] * 64)))
    assert isinstance(beat, WorkerHeartbeat)
    assert beat.stats is not None
    assert len(beat.stats.cores_percent) == 64


@pytest.mark.parametrize("phase", [Phase.RUNNING, Phase.FINISHED])
def test_an_online_with_500_attempts_fits_a_message(presence: Presence, phase: Phase) -> None:
    online = sent(presence.online(Duty.AWAKE, held(phase), "c" * 200))
    assert online.holds


def test_a_sample_of_this_machine_makes_sense(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path)
    sampler.sample()
    stats = sampler.sample()
    assert 0 < stats.memory_used < stats.memory_total
    assert 0 < stats.disk_used <= stats.disk_total
    assert all(0 <= percent <= 100 for percent in stats.cores_percent)
    assert stats.network_received_rate >= 0


def started(task: int) -> bytes:
    return TaskStarted(task=task, attempt=1).model_dump_json().encode()


def finished(task: int, **more: object) -> bytes:
    return TaskFinished(task=task, attempt=1, outcome=Outcome.COMPLETED, **more).model_dump_json().encode()


async def test_events_that_gather_travel_together_in_order() -> None:
    outbox, envelopes = Outbox(), Envelopes("node-1", INSTANCE)
    for task in range(1, 501):
        outbox.put((FINISHED, task, 1), finished(task, result="x" * 300))
    parts = list(envelopes.parts(await outbox.take()))
    assert 2 < len(parts) < 6
    bodies = [decode_from_worker(body)[0] for _, body in parts]
    assert [envelope.seq for envelope in bodies] == list(range(1, len(parts) + 1))
    assert [event.task for envelope in bodies for event in envelope.events if isinstance(event, TaskFinished)] == list(
        range(1, 501)
    )


async def test_a_report_travels_once_and_a_start_that_is_overtaken_not_at_all() -> None:
    outbox = Outbox()
    outbox.put((STARTED, 1, 1), started(1))
    outbox.put((FINISHED, 1, 1), finished(1))
    outbox.put((FINISHED, 1, 1), finished(1))
    assert list(await outbox.take()) == [(FINISHED, 1, 1)]


async def test_what_was_not_confirmed_goes_before_what_came_since_but_for_what_was_replaced() -> None:
    outbox = Outbox()
    outbox.put((STARTED, 1, 1), started(1))
    outbox.put((STARTED, 2, 1), started(2))
    outbox.put((FINISHED, 3, 1), b"old")
    taken = await outbox.take()
    outbox.put((FINISHED, 1, 1), finished(1))
    outbox.put((FINISHED, 3, 1), b"new")
    outbox.put_back(taken)
    again = await outbox.take()
    assert list(again) == [(STARTED, 2, 1), (FINISHED, 1, 1), (FINISHED, 3, 1)]
    assert again[FINISHED, 3, 1] == b"new"
    outbox.done()
    await outbox.empty()


def test_a_name_with_quotes_does_not_break_an_envelope() -> None:
    body = Envelopes('a"b', INSTANCE).wrap([started(1)])
    assert json.loads(body)["worker"] == 'a"b'


def test_the_settings_that_are_shown_hold_no_secret(tmp_path: Path) -> None:
    make: Callable[..., Settings] = load
    secrets = {"amqp_url": "amqp://me:hunter2@host/farm", "coordinator_token": "hunter2"}
    shown = make(None, {"data_dir": tmp_path} | secrets).shown()
    assert shown["amqp_url"] == "amqp://***@host/farm"
    assert "hunter2" not in json.dumps(shown)
