"""Ctrl-C and SIGTERM: a command that stops in order, and once more at once."""

import asyncio
import os
import signal

import pytest

from coordinator.local import interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_command_after_it_has_cleaned_up(number: signal.Signals) -> None:
    cleaned: list[bool] = []

    async def command() -> int:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append(True)
        return 0

    assert interrupt.run(command()) == 130
    assert cleaned == [True]


def test_the_command_says_how_it_ends_when_nobody_interrupts() -> None:
    async def command() -> int:
        return 5

    assert interrupt.run(command()) == 5


def test_an_interrupted_service_has_ended_well() -> None:
    async def command() -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()
        return 1

    assert interrupt.run(command(), interrupted=0) == 0


def test_the_second_signal_interrupts_the_cleaning_up() -> None:
    seen: list[str] = []

    async def command() -> int:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                seen.append("in a hurry")
        return 0

    assert interrupt.run(command()) in {0, 130}
    assert seen == ["in a hurry"]
