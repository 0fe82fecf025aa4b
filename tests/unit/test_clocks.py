"""Nothing is decided by the time of day of some machine: it can be set, and differs from one machine to the next.

The farm goes by the database's clock (`farm_now()`); agents, and whoever waits, count the seconds since the machine or
the process was started.
"""

import ast
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
TIME_OF_DAY: Final = {"time": {"time", "time_ns", "localtime", "gmtime"}, "datetime": {"now", "utcnow", "today"}}

#: Who asks for the time of day all the same, and what for.
ALLOWED: Final = {
    "worker_agent/journal.py": "something to write, to see whether the journal takes it",
    "worker_agent/outbox.py": "told, and compared only with times of the same message",
    "worker_agent/presence.py": "told, and compared only with times of the same message",
    "worker_agent/transport/publisher.py": "the timestamp of messages, which nobody reads",
    "coordinator/transport/publisher.py": "the timestamp of messages, which nobody reads",
    "coordinator/api/blobs.py": "the age of files, whose times are of the same clock",
    "coordinator/doctor.py": "told, so that whoever asks can compare clocks",
    "coordinator/storage/examine.py": "compared with the database's clock, which is the check",
    "coordinator/cli/access.py": "when a token shall end that a person asks for",
    "coordinator/cli/doctor.py": "compared with the coordinator's clock, which is the check",
    "coordinator/cli/output.py": "how long ago things were, as people read it",
    "coordinator/cli/stats.py": "the days that a person asks for",
}
#: What starts and proves a farm on one machine is no part of one; gateways tell the time where a foreign protocol asks
#: for it, and no exclusive task runs behind them.
APART: Final = {"proof", "local", "gateways"}


def asks(source: Path) -> list[int]:
    """The lines in which it asks for the time of day."""
    lines = []
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Attribute(attr="CLOCK_REALTIME", lineno=line):
                lines.append(line)
            case ast.Attribute(value=ast.Name(id=owner), attr=name, lineno=line) if name in TIME_OF_DAY.get(owner, ()):
                lines.append(line)
            case ast.Attribute(value=ast.Attribute(attr=owner), attr=name, lineno=line) if name in TIME_OF_DAY.get(
                owner, ()
            ):
                lines.append(line)
            case ast.ImportFrom(module="time", names=names, lineno=line) if TIME_OF_DAY["time"] & {
                one.name for one in names
            }:
                lines.append(line)
    return lines


@pytest.mark.parametrize("package", ["worker_agent", "coordinator", "schemas"])
def test_only_those_ask_for_the_time_of_day_who_decide_nothing_by_it(package: str) -> None:
    found = {
        str(source.relative_to(ROOT)): lines
        for source in (ROOT / package).rglob("*.py")
        if not APART & set(source.relative_to(ROOT).parts) and (lines := asks(source))
    }
    assert found.keys() == {name for name in ALLOWED if name.startswith(f"{package}/")}, found


def test_it_finds_every_way_to_ask(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text(
        "from time import time_ns\nimport time, datetime\ntime.time()\ndatetime.datetime.now()\ndatetime.now()\n"
        "time.clock_gettime(time.CLOCK_REALTIME)\ntime.monotonic()\ntime.clock_gettime(time.CLOCK_BOOTTIME)\n"
    )
    assert sorted(asks(source)) == [1, 3, 4, 5, 6]
