"""Draws `docs/states.md` from the tables that the coordinator obeys.

python -m docs.generate_states            write it
python -m docs.generate_states --check    exit with 1 when it is not what would be written
"""

import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import ModuleType
from typing import Final, TypeVar

from coordinator.domain import attempt, job, task, worker

PATH: Final = Path(__file__).with_name("states.md")
S = TypeVar("S", bound=StrEnum)
E = TypeVar("E", bound=StrEnum)

_HEAD: Final = """\
# States

Generated from the tables in `coordinator/domain` by `python -m docs.generate_states`; do not edit. An event that is not
drawn for a state is refused there: it came late, twice, or for something else, and nothing changes.
"""


def text() -> str:
    """The whole document."""
    return "\n".join(
        [
            _HEAD,
            _section("Worker: its connection", worker, worker.TRANSITIONS, start="offline"),
            _section("Task", task, task.TRANSITIONS, start="blocked, ready"),
            _section("Attempt", attempt, attempt.TRANSITIONS, start="assigned"),
            _endings(),
            _jobs(),
        ]
    )


def _section(title: str, module: ModuleType, table: Mapping[S, Mapping[E, S]], *, start: str) -> str:
    """A diagram and a table of one life cycle, under the words of its module."""
    about = (module.__doc__ or "").strip().splitlines()[0]
    first = [f"    [*] --> {state}" for state in start.split(", ")]
    arrows = [
        f"    {state} --> {target}: {', '.join(event for event, to in row.items() if to is target)}"
        for state, row in table.items()
        for target in dict.fromkeys(row.values())
    ]
    last = [f"    {state} --> [*]" for state, row in table.items() if not row]
    diagram = ["```mermaid", "stateDiagram-v2", *first, *arrows, *last, "```"]
    return "\n".join([f"## {title}", "", about, "", *diagram, "", *_grid(table)])


def _grid(table: Mapping[S, Mapping[E, S]]) -> list[str]:
    """The same as a table: a row for each event, a column for each state."""
    states = list(table)
    events = list(type(next(event for row in table.values() for event in row)))
    lines = ["| event | " + " | ".join(states) + " |", "|---" * (len(states) + 1) + "|"]
    lines += [f"| {event} | " + " | ".join(table[state].get(event, "") for state in states) + " |" for event in events]
    return [*lines, ""]


def _endings() -> str:
    """What an attempt's ending is, for every state in which it can end."""
    reports = [
        ending for ending in attempt.Ending if ending.value in {"completed", "failed", "canceled", "interrupted"}
    ]
    ends = [
        state
        for state, row in attempt.TRANSITIONS.items()
        if attempt.AttemptEvent.REPORTED in row or attempt.AttemptEvent.LOST in row
    ]
    lines = [
        "How an attempt ended, by the state it was in and what its worker reported (or that it was lost):",
        "",
        "| was | " + " | ".join(f"reported {ending}" for ending in reports) + " | lost |",
        "|---" * (len(reports) + 2) + "|",
    ]
    for state in ends:
        said = [attempt.ending_of(state, attempt.AttemptEvent.REPORTED, ending) for ending in reports]
        lost = attempt.ending_of(state, attempt.AttemptEvent.LOST)
        lines.append(f"| {state} | " + " | ".join([*said, lost]) + " |")
    return "\n".join([*lines, ""])


def _jobs() -> str:
    """A job's state by example of every kind of task it may have left."""
    about = (job.__doc__ or "").strip().splitlines()[0]
    lines = [
        "## Job",
        "",
        about,
        "",
        "| it has tasks that are | state | when its cancellation was asked for |",
        "|---|---|---|",
    ]
    kinds = [
        {task.TaskState.COMPLETED},
        *({state, task.TaskState.COMPLETED} for state in task.TaskState if state is not task.TaskState.COMPLETED),
        {task.TaskState.BLOCKED, task.TaskState.FAILED},
        {task.TaskState.BLOCKED, task.TaskState.CANCELED},
        {task.TaskState.FAILED, task.TaskState.CANCELED},
        {task.TaskState.READY, task.TaskState.FAILED},
    ]
    for kind in kinds:
        counts = {state: int(state in kind) for state in task.TaskState}
        states = [
            job.state_of(counts, expanded=len(kind), total=len(kind), cancel_requested=asked) for asked in (False, True)
        ]
        names = " and ".join(state for state in task.TaskState if state in kind)
        lines.append(f"| {names} | {' | '.join(states)} |")
    return "\n".join([*lines, ""])


def main(arguments: list[str]) -> int:
    """The command."""
    if arguments == ["--check"]:
        return int(PATH.read_text() != text())
    PATH.write_text(text())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
