"""`make beside OTHER=path`: this checkout and another one, in turn, on the same machine: echo tasks a second.

Each round starts a farm of its own for each of the two (services, one coordinator, five agents of 200 slots), warms it
up and times one job. What a change costs is the ratio of the two; the figure is the median of the rounds' ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).resolve().parents[2]
#: What both checkouts can run, whatever else has changed between them.
_ROUND: Final = """
import asyncio, sys
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.bench import AGENTS, SLOTS, farmhand_round

async def main(tasks):
    async with LocalFarm(Plan(agents=AGENTS, slots=SLOTS)) as farm:
        await farmhand_round(farm, tasks // 5)
        print(tasks / await farmhand_round(farm, tasks))

asyncio.run(main(int(sys.argv[1])))
"""


def rate(checkout: Path, tasks: int) -> float:
    """Echo tasks a second of a farm made of *checkout*'s code."""
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    done = subprocess.run(
        [sys.executable, "-P", "-c", _ROUND, str(tasks)],
        env=environment, cwd=checkout, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{checkout}: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="another checkout, such as one from before a change")
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ratios = []
    for number in range(options.rounds):
        pair = [_HERE, options.other.resolve()]
        found = {one: rate(one, options.tasks) for one in (pair if number % 2 else pair[::-1])}
        ours, theirs = (found[one] for one in pair)
        ratios.append(ours / theirs)
        print(f"round {number + 1}: here {ours:,.0f}, there {theirs:,.0f} tasks/s, {ratios[-1]:.2f}", flush=True)
    print(f"here is {statistics.median(ratios):.2f} of there ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
