"""The task that is run: writes down when it ran, for whom, and what it made. Standard library only; run by its path.

Words: the book, seconds, whether it is exclusive. Lines of the book: `begin|tick|end task attempt worker pid time`, on
the clock that all processes of a machine share. One write a line, so that lines of several processes do not mix.
"""

import os
import sys
import time
from pathlib import Path

TICK_S = 0.02


def main() -> None:
    """Run for so long."""
    book, seconds, exclusive = sys.argv[1], float(sys.argv[2]), sys.argv[3] == "exclusive"
    who = " ".join(os.environ[f"FARMHAND_{name}"] for name in ("TASK", "ATTEMPT", "WORKER"))
    file = os.open(book, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def write(word: str) -> None:
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        os.write(file, f"{word} {who} {os.getpid()} {now:.6f}\n".encode())

    write("begin")
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        time.sleep(TICK_S)
        if exclusive:
            write("tick")
    Path(os.environ["FARMHAND_OUTPUT"], "made.txt").write_text(" ".join(who.split()[:2]))
    write("end")


if __name__ == "__main__":
    main()
