"""The Python client of a farm, over HTTP: one for ordinary code, one for asyncio, with the same methods.

    from coordinator.client import FarmhandClient

    with FarmhandClient("http://127.0.0.1:8600") as farm:
        job = farm.submit(spec)
        for view in farm.watch(job.job):
            print(view.counts)

Needs nothing of the coordinator's own dependencies.
"""

from typing import TYPE_CHECKING

from coordinator.client.errors import ExitCode, FarmhandError

if TYPE_CHECKING:
    from coordinator.client.awaiting import AsyncFarmhandClient
    from coordinator.client.blocking import FarmhandClient

__all__ = ["AsyncFarmhandClient", "ExitCode", "FarmhandClient", "FarmhandError"]


def __getattr__(name: str) -> object:
    """The clients, imported when first asked for: exit codes alone need no HTTP."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from coordinator.client import awaiting, blocking  # noqa: PLC0415

    return awaiting.AsyncFarmhandClient if name == "AsyncFarmhandClient" else blocking.FarmhandClient
