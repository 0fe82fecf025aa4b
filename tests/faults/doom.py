"""Agents that kill themselves, with SIGKILL, at one exact point between a task's end and the word of its promotion.

The point is chosen by whoever starts the process; nothing of the agent knows of it.
"""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from tests.integration.agent import launch


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _around(owner: Any, name: str, *, before: Callable[..., bool] | None, after: Callable[..., bool] | None) -> None:
    """Have *owner*'s function die before or after it has done its work, when its arguments are the ones."""
    whole = getattr(owner, name)

    @wraps(whole)
    def doomed(*arguments: Any, **named: Any) -> Any:
        if before is not None and before(*arguments):
            _die()
        answer = whole(*arguments, **named)
        if after is not None and after(*arguments):
            _die()
        return answer

    setattr(owner, name, doomed)


def _journal(**when: Any) -> None:
    from worker_agent.journal import Journal  # noqa: PLC0415 - in the process that dies

    _around(Journal, "apply", before=when.get("before"), after=when.get("after"))


def _confirmed(kind: str) -> None:
    from worker_agent.agent import Agent  # noqa: PLC0415

    _around(Agent, "_confirmed", before=lambda _, key: key[0] == kind, after=None)


def _half_promoted() -> None:
    from worker_agent import outputs  # noqa: PLC0415

    puts: list[str] = []

    def second(*arguments: Any) -> bool:
        puts.append(arguments[2])
        return len(puts) == 2

    _around(outputs, "_put", before=second, after=None)


def _promoted() -> None:
    from worker_agent import agent  # noqa: PLC0415

    _around(agent, "promote", before=None, after=lambda *_: True)


#: When it dies.
POINTS: Final[dict[str, Callable[[], None]]] = {
    "it has ended, nothing is written": lambda: _journal(before=lambda _, plan: bool(plan.reported)),
    "the report is written, not sent": lambda: _journal(after=lambda _, plan: bool(plan.reported)),
    "the broker has the report": lambda: _confirmed("finished"),
    "the verdict has come, not written": lambda: _journal(before=lambda _, plan: bool(plan.accepted)),
    "the verdict is written, nothing promoted": lambda: _journal(after=lambda _, plan: bool(plan.accepted)),
    "one of two files is promoted": _half_promoted,
    "all is promoted, nobody knows": _promoted,
    "the broker has the word of it": lambda: _confirmed("promoted"),
}


def agent(argv: list[str], log: str, point: str) -> None:
    """`farmhand-agent` with *argv*, until *point*."""
    POINTS[point]()
    launch.agent(argv, log)
