"""How a measurement ends: nothing of its farm may be broken, and what was measured has to be enough."""

import sys
from collections.abc import Awaitable, Callable

import psutil

from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.storage.invariants import violations


async def judged(plan: Plan, measure: Callable[[LocalFarm], Awaitable[bool]], otherwise: str) -> None:
    """Measure on a farm of its own. Raises SystemExit: an invariant is broken, or it is not enough (*otherwise*)."""
    async with LocalFarm(plan, say=lambda line: print(line, file=sys.stderr)) as farm:
        enough = await measure(farm)
        broken = await violations(farm.services.database_url)
    if broken:
        raise SystemExit(f"invariants are broken: {broken}")
    if not enough:
        raise SystemExit(otherwise)


def cpu_s(process: psutil.Process) -> float:
    """User and system seconds of a process."""
    times = process.cpu_times()
    return float(times.user + times.system)
