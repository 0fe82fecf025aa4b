"""Two agents that claim to be one worker: they take turns, and each turn costs what the other was running.

An arrival is a `worker.online` of another instance than the current one. It is a turn when its instance, or the start
of the machine it runs on, was here before the current one: an agent that restarts, or whose machine does, never is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(minutes=5)
#: So many turns within the window are no accident.
MOST_TURNS: Final = 3
#: As many arrivals are kept.
MOST_ARRIVALS: Final = 12


@dataclass(frozen=True, slots=True)
class Arrival:
    """Which life of an agent came, on which start of which machine."""

    instance: str
    boot_id: str
    at: datetime

    def stored(self) -> dict[str, str]:
        """As JSON."""
        return {"instance": self.instance, "boot_id": self.boot_id, "at": self.at.isoformat()}

    @classmethod
    def read(cls, stored: Mapping[str, str]) -> "Arrival":
        """From JSON."""
        return cls(stored["instance"], stored["boot_id"], datetime.fromisoformat(stored["at"]))


def arrived(before: Sequence[Arrival], new: Arrival) -> list[Arrival]:
    """The arrivals within the window when *new* has come, and the one before them: who was there at its beginning."""
    recent = [one for one in before if new.at - one.at < WINDOW]
    there = before[len(before) - len(recent) - 1 : len(before) - len(recent)] if len(recent) < len(before) else ()
    return [*there, *recent, new]


def turns(arrivals: Sequence[Arrival]) -> int:
    """How many of *arrivals* were of one that had been there before the one before."""
    return sum(_returns(arrivals[:index], one) for index, one in enumerate(arrivals))


def are_clones(arrivals: Sequence[Arrival]) -> bool:
    """Whether these are two agents with one name."""
    return turns(arrivals) >= MOST_TURNS


def _returns(before: Sequence[Arrival], one: Arrival) -> bool:
    if not before or before[-1].instance == one.instance:
        return False
    moved = bool(one.boot_id) and before[-1].boot_id != one.boot_id
    return any(
        earlier.instance == one.instance or (moved and earlier.boot_id == one.boot_id) for earlier in before[:-1]
    )
