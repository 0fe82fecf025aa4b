"""Parts of a coordinator that go on until they are asked to end; none may end without a word."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def lasting(work: Coroutine[Any, Any, None]) -> None:
    """Do *work*. Should it be cancelled by nobody, that is an error: a group of tasks passes over those that are
    cancelled, and all the others would go on without it."""
    try:
        await work
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise RuntimeError(f"{getattr(work, '__qualname__', work)} was cancelled by nobody") from None
