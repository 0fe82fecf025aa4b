"""`make beside OTHER=path`: this checkout and another one, in turn, on the same machine: echo tasks a second.

Each of the two has a farm of its own (services, one coordinator, five agents of 200 slots), and both stand from the
first round to the last. Rounds are short and take turns, because a machine's speed changes within minutes, by other
things that run on it or on its host: only neighbours in time can be compared. The figure is the median of the ratios of
neighbours.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final, cast

_HERE: Final = Path(__file__).resolve().parents[2]
#: What both checkouts can run, whatever else has changed between them: a round for each line that is read.
_FARM: Final = """
import asyncio, sys
from coordinator.local.farm import LocalFarm
from coordinator.local.plan import Plan
from coordinator.proof.bench import AGENTS, SLOTS, farmhand_round

async def main():
    async with LocalFarm(Plan(agents=AGENTS, slots=SLOTS)) as farm:
        print("ready", flush=True)
        while tasks := await asyncio.to_thread(sys.stdin.readline):
            print(await farmhand_round(farm, int(tasks)), flush=True)

asyncio.run(main())
"""


class Standing:
    """A farm made of *checkout*'s code."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        environment = os.environ | {"PYTHONPATH": str(checkout)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _FARM],
            env=environment, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._asks, self._tells = cast("IO[str]", self._process.stdin), cast("IO[str]", self._process.stdout)
        self._told()

    def rate(self, tasks: int) -> float:
        """Echo tasks a second, in a round of so many."""
        self._asks.write(f"{tasks}\n")
        self._asks.flush()
        return tasks / float(self._told())

    def _told(self) -> str:
        line = self._tells.readline()
        if not line:
            raise SystemExit(f"{self._checkout}: its farm ended with status {self._process.wait()}")
        return line

    def end(self) -> None:
        """Take it down."""
        self._asks.close()
        self._process.wait()


@contextlib.contextmanager
def both(checkouts: tuple[Path, Path]) -> Iterator[list[Standing]]:
    """A farm of each."""
    with contextlib.ExitStack() as stack:
        farms = []
        for checkout in checkouts:
            farms.append(Standing(checkout))
            stack.callback(farms[-1].end)
        yield farms


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path, help="another checkout, such as one from before a change")
    parser.add_argument("--tasks", type=int, default=4000, help="tasks of a round")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    ratios = []
    with both((_HERE, options.other.resolve())) as (ours, theirs):
        for farm in (ours, theirs):
            farm.rate(options.tasks)
        for number in range(1, options.rounds + 1):
            turn = (ours, theirs) if number % 2 else (theirs, ours)
            found = {farm: farm.rate(options.tasks) for farm in turn}
            ratios.append(found[ours] / found[theirs])
            told = f"here {found[ours]:,.0f}, there {found[theirs]:,.0f} tasks/s, {ratios[-1]:.2f}"
            print(f"round {number}: {told}", flush=True)
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"here is {middle:.2f} of there (half of the rounds between {low:.2f} and {high:.2f})")


if __name__ == "__main__":
    main()
