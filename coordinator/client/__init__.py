"""The Python client of a farm, over HTTP: one for ordinary code, one for asyncio, with the same methods.

    from coordinator.client import FarmhandClient

    with FarmhandClient("http://127.0.0.1:8600") as farm:
        job = farm.submit(spec)
        for view in farm.watch(job.job):
            print(view.counts)

Needs nothing of the coordinator's own dependencies.
"""

from coordinator.client.errors import ExitCode, FarmhandError
from coordinator.client.http import AsyncFarmhandClient, FarmhandClient

__all__ = ["AsyncFarmhandClient", "ExitCode", "FarmhandClient", "FarmhandError"]
