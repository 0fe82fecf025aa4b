"""What of the farm's rules, and of what they count, one transaction knows and changes."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from coordinator.domain.budget import NO_RULES, Rules


@dataclass
class Ruling:
    """`rules` are loaded when wanted. `changes` are statements with their parameters, `saved` how many are written."""

    rules: Rules = NO_RULES
    changes: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    saved: int = 0
    #: Jobs of which the limit or the pause has changed.
    dirty_jobs: set[int] = field(default_factory=set)
    #: (queue, submitter) -> his newest turn, of those that got one.
    turns: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Group -> how many of its attempts ended in this transaction.
    ended_in: Counter[int] = field(default_factory=Counter)
    #: Groups of which only `held` has changed: written at the end, unless an assignment changes them anyway.
    unsaved_held: set[int] = field(default_factory=set)
