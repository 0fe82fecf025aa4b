"""The mixed demo's work, as a job: a sum of squares, the parts of which are computed by workers of four protocols."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from schemas.job import CommandSpec, Dependency, JobSpec, TaskSpec

#: Protocol, the kind by which its tasks are its own, and how many there are.
SHARES: Final = (
    ("native", "exec", 8),
    ("flamenco_v3", "misc", 6),
    ("clearml", "clearml", 4),
    ("celery", "sums.squares", 12),
)
#: Numbers that a part adds up: a tenth of a second.
_NUMBERS: Final = 1_000_000
_HERE: Final = Path(__file__).parent


def last_number() -> int:
    """The job adds up the squares from 1 to this."""
    return _NUMBERS * sum(count for _, _, count in SHARES)


def expected() -> int:
    """Their sum, by the formula."""
    last = last_number()
    return last * (last + 1) * (2 * last + 1) // 6


def sums(directory: Path) -> JobSpec:
    """The job. Its parts are written into *directory*, and added up by the last task, which waits for all others."""
    parts = list(_parts(directory))
    names = [part.name for part in parts]
    argv = [sys.executable, "-P", str(_HERE / "total.py"), str(directory), str(last_number()), *names]
    total = TaskSpec(name="total", kind="exec", after=[Dependency(task=name) for name in names], commands=[_exec(argv)])
    return JobSpec(name="one farm for all", tasks=[*parts, total], submitter="demo")


def _parts(directory: Path) -> Iterator[TaskSpec]:
    first = 1
    for protocol, kind, count in SHARES:
        for number in range(count):
            name = f"{protocol}-{number}"
            words = [str(directory), name, str(first), str(first + _NUMBERS - 1)]
            yield TaskSpec(name=name, kind=kind, commands=[_command(protocol, words)])
            first += _NUMBERS


def _command(protocol: str, words: list[str]) -> CommandSpec:
    """The same work in the words of each protocol."""
    argv = [sys.executable, "-P", str(_HERE / "part.py"), *words]
    match protocol:
        case "flamenco_v3":
            return CommandSpec(name="exec", parameters={"exe": argv[0], "args": argv[1:]})
        case "clearml":
            script = f"import runpy, sys\nsys.argv = {argv[2:]!r}\nrunpy.run_path(sys.argv[0], run_name='__main__')\n"
            return CommandSpec(name="clearml", parameters={"script": script, "requirements": []})
        case "celery":
            args = [words[0], words[1], int(words[2]), int(words[3])]
            return CommandSpec(name="celery", parameters={"args": args, "kwargs": {}})
        case _:
            return _exec(argv)


def _exec(argv: list[str]) -> CommandSpec:
    return CommandSpec(name="exec", parameters={"argv": argv})
