"""A cancellation that nobody asked for: what the client library throws where a connection dies under it."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from coordinator.operations.lasting import lasting
from coordinator.transport.channels import close_channel
from coordinator.transport.connection import quietly
from worker_agent.transport import connection as agents
from worker_agent.transport.connection import Connection, NotAdmittedError


async def die(*_: object) -> None:
    """As a future of the library that was cancelled."""
    dead: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    dead.cancel()
    await dead


class Dying:
    """A channel whose connection is gone."""

    close = staticmethod(die)


async def test_closing_what_is_dead_ends_nobody() -> None:
    channel: Any = Dying()
    await close_channel(channel)
    with quietly():
        await die()


async def test_who_is_asked_to_end_while_closing_ends() -> None:
    begun = asyncio.Event()

    async def slow() -> None:
        begun.set()
        await asyncio.Event().wait()

    class Slow:
        close = staticmethod(slow)

    channel: Any = Slow()
    task = asyncio.create_task(close_channel(channel))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("last", [lasting, agents.lasting], ids=["coordinator", "agent"])
async def test_a_part_that_is_cancelled_by_nobody_takes_the_others_with_it(last: Any) -> None:
    async def forever() -> None:
        await asyncio.Event().wait()

    async def all_of_it() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(last(die()))
            group.create_task(last(forever()))

    with pytest.raises(ExceptionGroup) as error:
        await all_of_it()
    assert [str(one) for one in error.value.exceptions] == ["die was cancelled by nobody"]


@pytest.mark.parametrize("last", [lasting, agents.lasting], ids=["coordinator", "agent"])
async def test_a_part_that_is_asked_to_end_ends_quietly(last: Any) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(last(asyncio.sleep(3600)))
        await asyncio.sleep(0)
        task.cancel()


async def test_an_agent_whose_connection_dies_while_it_is_built_dials_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lives = 0

    async def one_life(_self: Connection, _build: object) -> None:
        nonlocal lives
        lives += 1
        if lives == 3:
            raise NotAdmittedError("enough")
        await die()

    async def at_once(_self: Connection, _why: str) -> None:
        """Wait for nothing."""

    monkeypatch.setattr(Connection, "_one_life", one_life)
    monkeypatch.setattr(Connection, "_wait", at_once)

    def build(_: Any) -> Awaitable[None]:
        raise NotImplementedError

    address: Any = None
    with pytest.raises(NotAdmittedError):
        await Connection(address, "c").supervise(build)
    assert lives == 3
