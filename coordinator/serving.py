"""The HTTP servers of a coordinator: they run beside the rest, and end before it, when all callers are answered."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Mapping
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from coordinator.starting import StartError

#: An idle connection is for its caller to close (ours: after 5 s): who closes first breaks the next call of the other.
_KEEP_ALIVE_S: Final = 75


@contextlib.asynccontextmanager
async def serving(sites: Mapping[tuple[str, int], ASGIApp]) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """The HTTP servers beside the rest, and what ends them before that. Raises `StartError` when a port cannot be
    had."""
    async with contextlib.AsyncExitStack() as stack:
        for (host, port), app in sites.items():
            listener = stack.enter_context(_listener(host, port))
            server = _Server(
                uvicorn.Config(
                    app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=3,
                    timeout_keep_alive=_KEEP_ALIVE_S,
                )
            )  # fmt: skip
            task = asyncio.create_task(server.serve(sockets=[listener]))
            stack.push_async_callback(_ended, server, task)
        yield stack.aclose


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with FARMHAND_HTTP_HOST and "
            "FARMHAND_HTTP_PORT, or FARMHAND_GATEWAYS"
        ) from error
    return listener


async def _ended(server: uvicorn.Server, task: "asyncio.Task[None]") -> None:
    server.should_exit = True
    await task


class _Server(uvicorn.Server):
    """Leaves signals to the coordinator."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Capture nothing."""
        yield
