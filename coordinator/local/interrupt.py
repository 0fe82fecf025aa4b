"""Ctrl-C and SIGTERM for commands that must leave nothing running.

The first signal cancels the command, which then stops in good order; another one cancels its stopping, which then ends
at once whatever still runs.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

#: What a shell expects of a program that was interrupted.
INTERRUPTED: Final = 130


def run(main: Coroutine[Any, Any, int], *, interrupted: int = INTERRUPTED) -> int:
    """Run *main* to its end; its result, or *interrupted* when a signal ended it."""
    signals: list[int] = []

    async def guarded() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(main)

        def interrupt(number: int) -> None:
            signals.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if not signals:
            raise
        return interrupted
