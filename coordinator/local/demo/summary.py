"""What the demo says at its end, and whether the farm kept its word. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from coordinator.storage.tally import Tally


@dataclass(frozen=True)
class Ending:
    """How the demo went: what the database says of the job, who was killed, where the pictures lie."""

    tally: Tally
    killed: str | None
    drained: str | None
    seconds: float
    animation: Path
    sheet: Path

    @property
    def kept(self) -> bool:
        """Whether every task was completed by exactly one accepted attempt."""
        tally = self.tally
        return tally.completed == tally.tasks == tally.accepted and tally.not_exactly_once == 0


def sentences(ending: Ending) -> Iterator[str]:
    """The summary, line by line."""
    tally = ending.tally
    yield f"tasks      {tally.tasks}, completed {tally.completed}"
    others = tally.attempts - tally.accepted - tally.lost
    yield f"attempts   {tally.attempts}: {tally.accepted} accepted, {tally.lost} lost, {others} ended otherwise"
    yield f"repeated   {tally.attempts - tally.tasks}"
    if ending.kept:
        yield "promise    every task was accepted exactly once (counted in the database)"
    else:
        yield f"promise    BROKEN: {tally.not_exactly_once} tasks were not accepted exactly once"
    if ending.killed:
        yield f"killed     {ending.killed}, with SIGKILL"
    if ending.drained:
        yield f"drained    {ending.drained}"
    yield f"time       {ending.seconds:.0f} s"
    yield f"animation  {ending.animation}"
    yield f"sheet      {ending.sheet} (the colour beneath a frame is its worker's)"
