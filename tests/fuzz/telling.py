"""What a run of fuzzing has shown, in a line."""

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
        self._first_mb = _memory_mb()

    def mark(self) -> None:
        """All that is loaded once has been: memory is measured from here."""
        self._first_mb = _memory_mb()

    def end(self, how: str) -> None:
        """Say it."""
        seconds, counted = time.monotonic() - self._began, self._mouth.counted
        total = sum(counted.values())
        reasons = sorted(counted.keys() - {"read"}, key=lambda reason: -counted[reason])
        print(
            f"{total:,} inputs {how}, {total / seconds:,.0f} a second: {counted.get('read', 0):,} read "
            f"({self._mouth.unknown:,} events left out as those of a newer version), "
            f"refused: {', '.join(f'{counted[reason]:,} {reason}' for reason in reasons)}; "
            f"memory {self._first_mb:.1f} MB, at the end {_memory_mb():.1f} MB",
            flush=True,
        )


def _memory_mb() -> float:
    return float(psutil.Process().memory_info().rss) / 2**20
