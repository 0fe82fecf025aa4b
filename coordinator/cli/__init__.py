"""The command line. Everything that needs a farm speaks HTTP to a coordinator, like any other client.

Data goes to standard output, messages to standard error. Errors are one line; the exit code says what kind they are
(`coordinator.client.ExitCode`). Nothing heavy is imported before a command is chosen, so that help is quick.
"""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    from coordinator.cli.program import run  # noqa: PLC0415 - the package stays importable without typer

    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))
