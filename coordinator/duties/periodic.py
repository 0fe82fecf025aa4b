"""Runs duties: each in its own rhythm, until cancelled; a duty that fails is logged and comes again."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from coordinator.operations.store import StoreUnavailableError

log = structlog.get_logger(__name__)


async def every(
    seconds: float, duty: Callable[[], Awaitable[None]], *, quiet: type[Exception] = StoreUnavailableError
) -> None:
    """Run *duty* now and then every *seconds*. What fails with *quiet* is said elsewhere."""
    while True:
        await attempt(duty, quiet=quiet)
        await asyncio.sleep(seconds)


async def attempt(duty: Callable[[], Awaitable[None]], *, quiet: type[Exception] = StoreUnavailableError) -> None:
    """Run *duty* once."""
    try:
        await duty()
    except quiet:
        pass
    except Exception:
        log.exception("duty_failed", duty=getattr(duty, "__qualname__", str(duty)))
