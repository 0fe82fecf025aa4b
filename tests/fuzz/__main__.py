"""`make fuzz`: bad input by the million.

    python -m tests.fuzz [--inputs N] [--seconds S] [--seed N]

With --inputs so many messages that are changed at random; with --seconds a coverage-guided fuzzer for so long
(`tests.fuzz.guided`). Both feed all that a coordinator does with a message before it reaches the database
(`tests.fuzz.mouth`), and stop at the first that it neither reads nor refuses. The last line says what became of them,
how fast, and the memory of the process, when a tenth was done and at the end.
"""

import argparse
import subprocess
import sys
from random import Random

from tests.fuzz.bad_input import USER
from tests.fuzz.mouth import Mouth
from tests.fuzz.mutating import Mutator
from tests.fuzz.telling import Told
from tests.support.recorded import seeds


def main() -> int:
    """Fuzz as the arguments say."""
    parser = argparse.ArgumentParser(prog="tests.fuzz", description="Bad input by the million.")
    parser.add_argument("--inputs", type=int, default=0, help="so many messages, changed at random")
    parser.add_argument("--seconds", type=int, default=0, help="let the guided fuzzer run for so long")
    parser.add_argument("--seed", type=int, default=1, help="the same makes the same messages")
    chosen = parser.parse_args()
    if chosen.inputs:
        at_random(chosen.inputs, chosen.seed)
    if not chosen.seconds:
        return 0
    # A process of its own: what is looked into must be loaded there first.
    guided = [sys.executable, "-m", "tests.fuzz.guided", str(chosen.seconds), str(chosen.seed)]
    return subprocess.run(guided, check=False).returncode


def at_random(inputs: int, seed: int) -> None:
    """So many messages that are changed at random."""
    mouth = Mouth(USER)
    mutator, told = Mutator(seeds(), Random(seed), USER), Told(mouth)
    for number in range(1, inputs + 1):
        if number == inputs // 10:
            told.mark()
        sent = mutator.message()
        try:
            mouth.eat(sent.delivered(number))
        except BaseException:
            print(f"input {number} of seed {seed}: {sent.key!r} from {sent.user_id!r}: {sent.body!r}", file=sys.stderr)
            raise
    told.end("changed at random")
    mouth.close()


if __name__ == "__main__":
    sys.exit(main())
