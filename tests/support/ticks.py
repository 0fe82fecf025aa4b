"""A program that writes down when it runs, and what several of them wrote: whether any two ran at the same time."""

import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

#: Appends `who time` to the file every 10 ms, on the clock that all processes of a machine share, until it is ended or
#: the second file is there; says `::progress 1/2` after its first line. It does not listen to SIGTERM.
PROGRAM = """
import os, signal, sys, time
who, book, enough = sys.argv[1:]
signal.signal(signal.SIGTERM, signal.SIG_IGN)
told = False
with open(book, "a", buffering=1) as file:
    while True:
        file.write(f"{who} {time.clock_gettime(time.CLOCK_BOOTTIME)} {os.getpid()}\\n")
        if not told:
            told = print("::progress 1/2", flush=True) or True
        if os.path.exists(enough):
            break
        time.sleep(0.01)
"""


def argv(who: str, book: Path, enough: Path) -> list[str]:
    """The arguments that start the program."""
    return [sys.executable, "-I", "-S", "-c", PROGRAM, who, str(book), str(enough)]


def runs(book: Path) -> dict[str, tuple[float, float]]:
    """Who ran from when to when, by process."""
    times: defaultdict[str, list[float]] = defaultdict(list)
    for line in book.read_text().splitlines() if book.exists() else ():
        words = line.split()
        if len(words) == 3:
            times[f"{words[0]} {words[2]}"].append(float(words[1]))
    return {who: (min(some), max(some)) for who, some in times.items()}


def overlaps(book: Path) -> list[tuple[str, str]]:
    """Pairs that ran at the same time."""
    ordered = sorted(runs(book).items(), key=lambda item: item[1])
    return [(one, other) for (one, (_, end)), (other, (start, _)) in pairwise(ordered) if start <= end]
