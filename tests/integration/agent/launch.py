"""Agents as processes that start at once: forked from a server that has imported them."""

import multiprocessing
import os
import sys
from typing import Final

from worker_agent import cli

CONTEXT: Final = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["worker_agent.cli"])


def agent(argv: list[str], log: str) -> None:
    """`farmhand-agent` with *argv*; all it says goes to *log*."""
    for name in [name for name in os.environ if name.startswith("FARMHAND_")]:
        del os.environ[name]
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.argv = ["farmhand-agent", *argv]
    cli.main()
