"""The coverage-guided fuzzer (atheris, `requirements/fuzz.txt`): keeps what reaches code that nothing reached before.

    python -m tests.fuzz.guided SECONDS SEED

It looks into our own modules only: pydantic reads JSON in compiled code, which does not tell where it is. So most
inputs are changed with some sense for JSON (`tests.fuzz.mutating`), and every fourth as bytes. What was reached is kept
in `.farmhand/fuzz` and is where the next run begins.
"""

import atexit
import sys
from pathlib import Path
from random import Random
from typing import Final

try:
    import atheris
except ImportError:
    sys.exit("fuzz: the guided fuzzer is not installed: pip install --require-hashes -r requirements/fuzz.txt")

with atheris.instrument_imports(include=["coordinator", "schemas"], enable_loader_override=False):
    from tests.fuzz.bad_input import USER, Sent
    from tests.fuzz.mouth import Mouth

from tests.fuzz.mutating import Mutator
from tests.fuzz.telling import Told
from tests.support.recorded import seeds

#: The first byte of an input says under which key it comes.
KEYS: Final = ("ev.node-1", "hb.node-1", "log.node-1", "job.node-1")
REACHED: Final = Path(".farmhand/fuzz")
#: Inputs after which all that is loaded once has been.
WARM: Final = 2000


def main(seconds: int, seed: int) -> None:
    """Fuzz; ends the process."""
    mouth, random = Mouth(USER), Random(seed)
    mutator, told = Mutator(seeds(), random, USER), Told(mouth)

    def change(data: bytes, most: int, number: int) -> bytes:
        random.seed(number)
        if number % 4 == 0 or not data:
            return bytes(atheris.Mutate(data, most))
        return (bytes([data[0] % len(KEYS)]) + mutator.changed(data[1:]))[:most]

    def eat(data: bytes) -> None:
        if mouth.counted.total() == WARM:
            told.mark()
        if data:
            mouth.eat(Sent(KEYS[data[0] % len(KEYS)], data[1:]).delivered())

    REACHED.mkdir(parents=True, exist_ok=True)
    words = [key.partition(".")[0] for key in KEYS]
    for number, (key, body) in enumerate(seeds()):
        (REACHED / f"seed-{number}").write_bytes(bytes([words.index(key.partition(".")[0])]) + body)
    atexit.register(told.end, "guided by coverage")
    options = [f"-max_total_time={seconds}", "-max_len=70000", f"-seed={seed}", "-print_final_stats=1", str(REACHED)]
    atheris.Setup(["tests.fuzz.guided", *options], eat, custom_mutator=change)
    atheris.Fuzz()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
