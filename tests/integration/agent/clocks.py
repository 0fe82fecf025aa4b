"""Agents whose machine's clock is wrong: as processes, in which whatever asks for the time of day gets another one.

The time of day is what can be set. What counts the seconds since the machine was started, as CLOCK_BOOTTIME does, is
not.
"""

import datetime as dt
import importlib
import os
import sys
import time
from typing import Any

from tests.integration.agent import launch


def agent(argv: list[str], log: str, off_s: float, since: str) -> None:
    """`farmhand-agent` with *argv*; its machine's clock is *off_s* seconds off as soon as the file *since* is there."""
    importlib.import_module("worker_agent.agent")
    _shift(off_s, since)
    launch.agent(argv, log)


def _shift(off_s: float, since: str) -> None:
    honest, honest_ns, honest_clock = time.time, time.time_ns, time.clock_gettime

    def off() -> float:
        return off_s if os.path.exists(since) else 0.0  # noqa: PTH110 - it is asked very often

    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.fromtimestamp(honest() + off(), tz)

        @classmethod
        def utcnow(cls) -> Any:
            return dt.datetime.fromtimestamp(honest() + off(), dt.UTC).replace(tzinfo=None)

    def clock(which: int) -> float:
        return honest_clock(which) + (off() if which == time.CLOCK_REALTIME else 0.0)

    shifted = {
        "time": lambda: honest() + off(),
        "time_ns": lambda: honest_ns() + round(off() * 1e9),
        "clock_gettime": clock,
    }
    # Also where a module has taken it by name.
    replaced: dict[int, Any] = {id(getattr(time, name)): value for name, value in shifted.items()}
    ours = replaced | {id(dt.datetime): Shifted}
    for known, module in list(sys.modules.items()):
        there = ours if known.startswith("worker_agent.") else replaced
        for name, value in list(vars(module).items()):
            if id(value) in there:
                setattr(module, name, there[id(value)])
