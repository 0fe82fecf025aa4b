"""What a run of fuzzing has shown, in a line."""

import gc
import sys
import time
from collections import Counter
from typing import Protocol

import psutil


class Counted(Protocol):
    """What was eaten (`tests.fuzz.mouth.Mouth`, which the guided fuzzer must be the first to load)."""

    counted: Counter[str]
    unknown: int


class Told:
    """Begins with the run."""

    def __init__(self, mouth: Counted) -> None:
        self._mouth = mouth
        self._began = time.monotonic()
        self._first = _memory()

    def mark(self) -> None:
        """All that is loaded once has been: memory is measured from here."""
        self._first = _memory()

    def end(self, how: str) -> None:
        """Say it."""
        seconds, counted = time.monotonic() - self._began, self._mouth.counted
        total = sum(counted.values())
        reasons = sorted(counted.keys() - {"read"}, key=lambda reason: -counted[reason])
        print(
            f"{total:,} inputs {how}, {total / seconds:,.0f} a second: {counted.get('read', 0):,} read "
            f"({self._mouth.unknown:,} events left out as those of a newer version), "
            f"refused: {', '.join(f'{counted[reason]:,} {reason}' for reason in reasons)}; "
            f"memory {self._first}, at the end {_memory()}",
            flush=True,
        )


def _memory() -> str:
    """What the process has, which goes up and down with the largest messages, and what of it is in use."""
    gc.collect()
    return f"{psutil.Process().memory_info().rss / 2**20:.1f} MB ({sys.getallocatedblocks():,} blocks)"
