"""Arguments and options that several commands have."""

from typing import Annotated

import typer

JobArgument = Annotated[int, typer.Argument(metavar="JOB", min=1, show_default=False)]
JobsArgument = Annotated[list[str], typer.Argument(metavar="JOB...", help="Numbers of jobs; - reads them from stdin.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; kept in the story.")]
