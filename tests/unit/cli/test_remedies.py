"""What people are told to type can be typed: the commands and options of every remedy are there."""

import shlex
from typing import Any

import pytest
import typer

from coordinator.cli import program
from coordinator.domain.reason import Reason
from coordinator.domain.why import LINES
from worker_agent import cli as agent

REMEDIES = {reason.name: line.remedy for reason, line in LINES.items() if line.remedy}


def options(command: Any) -> set[str]:
    """The options of a command."""
    return {one for parameter in command.params for one in parameter.opts if one.startswith("--")}


@pytest.mark.parametrize("reason", REMEDIES)
def test_a_remedy_is_a_command_with_options_that_it_has(reason: str) -> None:
    name, first, *words = shlex.split(REMEDIES[reason])
    assert name == "farmhand"
    command: Any = program.build().commands[first]
    known = options(command)
    if first == "agent":
        known = set().union(*map(options, typer.main.get_command(agent.app).commands.values()))  # type: ignore[attr-defined]
    elif (below := getattr(command, "commands", None)) and words and not words[0].startswith("-"):
        known = options(below[words.pop(0)])
    assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known


def test_most_reasons_have_a_remedy() -> None:
    assert len(REMEDIES) > len(Reason) / 2
