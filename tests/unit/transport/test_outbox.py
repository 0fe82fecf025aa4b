"""What waits to be published."""

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coordinator.transport.outbox import Outbox, Parcel, UndeliveredError
from schemas.base import MAX_MESSAGE_BYTES
from schemas.envelope import decode_to_worker
from schemas.task import Revocation, Revoke
from schemas.worker import Reset


def a_revoke(number: int, *, reason: str = "x" * 200, attempts: int = 1) -> Revoke:
    return Revoke(attempts=[Revocation(task=number, attempt=1, reason=reason) for _ in range(attempts)])


def emptied(outbox: Outbox) -> Iterator[Parcel]:
    while (parcel := outbox.take()) is not None:
        yield parcel


def test_commands_that_gather_for_a_worker_share_a_message() -> None:
    outbox = Outbox()
    outbox.gather("w1", 3, [a_revoke(1)])
    outbox.gather("w2", 1, [Reset(reason="moved on")])
    outbox.gather("w1", 3, [a_revoke(2), a_revoke(3)])
    first, second = emptied(outbox)
    assert first.routing_key == "farmhand.worker.w1"
    assert first.worker == "w1"
    envelope, unknown = decode_to_worker(first.body)
    assert unknown == 0
    assert (envelope.worker, envelope.epoch) == ("w1", 3)
    assert envelope.commands == [a_revoke(1), a_revoke(2), a_revoke(3)]
    assert decode_to_worker(second.body)[0].commands == [Reset(reason="moved on")]
    assert not outbox
    assert outbox.size == 0


def test_a_command_that_is_json_already_is_taken_as_it_is() -> None:
    outbox = Outbox()
    outbox.gather("w1", 1, [a_revoke(1), a_revoke(2).model_dump_json().encode()])
    (parcel,) = emptied(outbox)
    assert decode_to_worker(parcel.body)[0].commands == [a_revoke(1), a_revoke(2)]


def test_commands_of_different_epochs_share_nothing() -> None:
    outbox = Outbox()
    outbox.gather("w1", 1, [a_revoke(1)])
    outbox.gather("w1", 2, [a_revoke(2)])
    assert [decode_to_worker(parcel.body)[0].epoch for parcel in emptied(outbox)] == [1, 2]


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 2), st.integers(1, 150)), max_size=30))
def test_every_command_leaves_once_in_order_in_messages_that_fit(sends: list[tuple[str, int, int]]) -> None:
    outbox = Outbox()
    for number, (worker, epoch, attempts) in enumerate(sends):
        outbox.gather(worker, epoch, [a_revoke(number + 1, attempts=attempts)])
    sent: dict[tuple[str, int], list[int]] = {}
    for parcel in emptied(outbox):
        assert len(parcel.body) <= MAX_MESSAGE_BYTES
        envelope, _ = decode_to_worker(parcel.body)
        revokes = [command for command in envelope.commands if isinstance(command, Revoke)]
        sent.setdefault((envelope.worker, envelope.epoch), []).extend(revoke.attempts[0].task for revoke in revokes)
    wanted: dict[tuple[str, int], list[int]] = {}
    for number, (worker, epoch, _) in enumerate(sends):
        wanted.setdefault((worker, epoch), []).append(number + 1)
    assert sent == wanted
    assert outbox.size == 0
    assert outbox.dropped == 0


def test_a_command_that_fits_no_message_is_dropped_and_holds_up_nobody() -> None:
    outbox = Outbox()
    outbox.gather("w1", 1, [a_revoke(1, attempts=400)])
    outbox.gather("w2", 1, [a_revoke(2)])
    assert [parcel.worker for parcel in emptied(outbox)] == ["w2"]
    assert outbox.dropped == 1


def test_when_it_is_full_the_oldest_commands_go() -> None:
    outbox = Outbox(limit_bytes=1000)
    for number in range(1, 9):
        outbox.gather(f"w{number}", 1, [a_revoke(number)])
    kept = [parcel.worker for parcel in emptied(outbox)]
    assert kept == [f"w{number}" for number in range(9 - len(kept), 9)]
    assert 0 < len(kept) < 8
    assert outbox.dropped == 8 - len(kept)


async def test_when_it_is_full_of_single_messages_the_oldest_is_told() -> None:
    outbox = Outbox(limit_bytes=1000)
    parcels = [Parcel("key", b"x" * 400, done=asyncio.get_running_loop().create_future()) for _ in range(3)]
    for parcel in parcels:
        outbox.put(parcel)
    assert outbox.dropped == 1
    with pytest.raises(UndeliveredError, match="too much waits"):
        await parcels[0].done  # type: ignore[misc]
    assert list(emptied(outbox)) == parcels[1:]


async def test_what_nobody_waits_for_any_more_is_not_published() -> None:
    outbox = Outbox()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    outbox.put(Parcel("key", b"{}", done=done))
    done.cancel()
    assert outbox.take() is None


async def test_clearing_tells_who_waits_and_counts_the_rest() -> None:
    outbox = Outbox()
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    outbox.put(Parcel("key", b"{}", done=done))
    outbox.gather("w1", 1, [a_revoke(1), a_revoke(2)])
    outbox.clear()
    with pytest.raises(UndeliveredError, match="stopping"):
        await done
    assert outbox.dropped == 3
    assert not outbox
    assert outbox.size == 0
