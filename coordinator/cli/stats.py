"""`farmhand stats`: how the machines felt and who worked, as tables, CSV, plots."""

import csv
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from coordinator.cli.command import Session, command, fail
from coordinator.cli.output import Column, say, show_json, show_table, size, write

if TYPE_CHECKING:
    from coordinator.cli.plotting import Line
    from schemas.views import ActivityReport, Series, SeriesLine

#: Columns that count things, whatever the metric's unit.
_COUNTED: Final = ("count", "total", "active")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

WorkerOption = Annotated[
    list[str] | None, typer.Option("--worker", metavar="WORKER", help="A line for this worker; may be repeated.")
]
EachOption = Annotated[bool, typer.Option("--each", help="A line for each worker.")]
CoresOption = Annotated[bool, typer.Option("--variants", help="A line for each core or GPU.")]
SinceOption = Annotated[str, typer.Option("--since", metavar="WHEN", help="A span such as 2h, 7d, or an instant.")]
UntilOption = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="The same; else now.")]
IntervalOption = Annotated[
    str | None, typer.Option("--interval", metavar="SPAN", help="Of one figure, such as 10s, 5m, 1h; else what fits.")
]
ShowOption = Annotated[
    str, typer.Option("--show", metavar="LIST", help="Which figures: min, max, mean, and percentiles such as p95.")
]
CsvOption = Annotated[bool, typer.Option("--csv", help="Answer with CSV.")]
PlotOption = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw into this file: .png or .svg.")]
TerminalOption = Annotated[bool, typer.Option("--terminal", help="Draw in the terminal.")]

_METRICS = [
    Column("METRIC", lambda one: one.metric, keep=True),
    Column("UNIT", lambda one: one.unit or "-"),
    Column("WHAT", lambda one: one.what),
]


def add(app: typer.Typer) -> None:
    """Add the commands to *app*."""
    command(app, "stats")(stats)


def stats(  # noqa: PLR0913 - a question's parts
    session: Session,
    metric: Annotated[str | None, typer.Argument(metavar="[METRIC]", show_default=False)] = None,
    worker: WorkerOption = None,
    *,
    each: EachOption = False,
    variants: CoresOption = False,
    since: SinceOption = "1h",
    until: UntilOption = None,
    interval: IntervalOption = None,
    shown: ShowOption = "min,mean,max",
    as_csv: CsvOption = False,
    plot: PlotOption = None,
    terminal: TerminalOption = False,
) -> None:
    """Show a metric of the machines over time; `activity` counts the workers; without a metric, list what there is.

    Examples:
      farmhand stats
      farmhand stats cpu --since 2h --show mean,p95
      farmhand stats memory --worker render-07 --since 7d --interval 1h --csv > memory.csv
      farmhand stats core --worker render-07 --variants --terminal
      farmhand stats activity --since 24h --plot activity.png
    """
    if metric is None:
        metrics = session.farm.metrics()
        if session.json:
            show_json(metrics)
        else:
            show_table(_METRICS, metrics, empty="nothing is measured")
        return
    now = datetime.now(UTC)
    time: dict[str, Any] = {
        "since": _when("--since", since, now).isoformat(),
        "until": _when("--until", until, now).isoformat() if until else None,
        "interval": round(_span("--interval", interval).total_seconds()) if interval else None,
    }
    if metric == "activity":
        report = session.farm.activity(**time)
        found: ActivityReport | Series = report
        title, lines = "workers", _activity_lines(report)
    else:
        split = "variant" if variants else "worker" if each or worker else "farm"
        names = [word.strip() for word in shown.split(",") if word.strip()]
        series = session.farm.series(metric, workers=worker or (), split=split, aggregations=names, **time)
        found = series
        title, lines = f"{metric} {series.unit}".strip(), _lines(series)
    if session.json:
        show_json(found)
    elif as_csv:
        _csv(lines)
    elif plot is not None or terminal:
        _draw(lines, title, plot)
    else:
        _table(lines, title)


def _draw(lines: "Sequence[Line]", title: str, plot: Path | None) -> None:
    from coordinator.cli import plotting  # noqa: PLC0415 - slow to import

    if not any(line.at for line in lines):
        fail("there is nothing to draw: no figures of that time")
    if plot is None:
        write(plotting.in_terminal(lines, title, colors=sys.stdout.isatty()))
        return
    if plot.suffix.lower() not in (".png", ".svg"):
        fail(f"--plot {plot}: the file should end with .png or .svg")
    try:
        plotting.into_file(lines, title, plot)
    except OSError as error:
        fail(f"cannot write {plot}: {error.strerror}")
    say(f"drawn: {plot}")


def _lines(series: "Series") -> "list[Line]":
    return [_line(line) for line in series.lines]


def _line(line: "SeriesLine") -> "Line":
    from coordinator.cli.plotting import Line  # noqa: PLC0415

    variant = "" if line.variant is None else f".{line.variant}"
    return Line(f"{line.worker or 'all'}{variant}", line.at, {"count": line.count, **line.values})


def _activity_lines(report: "ActivityReport") -> "list[Line]":
    from coordinator.cli.plotting import Line  # noqa: PLC0415

    return [Line("", report.at, {"total": report.total, "active": report.active})]


def _rows(lines: "Sequence[Line]") -> list[tuple[datetime, str, list[float]]]:
    return [
        (at, line.name, list(values))
        for line in lines
        for at, *values in zip(line.at, *line.values.values(), strict=True)
    ]


def _csv(lines: "Sequence[Line]") -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    names = list(lines[0].values) if lines else []
    writer.writerow(["at", "line", *names])
    writer.writerows([at.isoformat(), name, *values] for at, name, values in _rows(lines))


def _table(lines: "Sequence[Line]", title: str) -> None:
    columns = [Column("AT", lambda row: row[0].astimezone().strftime("%Y-%m-%d %H:%M:%S"), keep=True)]
    if any(line.name for line in lines):
        columns.append(Column("LINE", lambda row: row[1], keep=True))
    for index, name in enumerate(lines[0].values if lines else ()):
        columns.append(Column(name.upper(), _shown(index, "" if name in _COUNTED else title), right=True))
    show_table(columns, _rows(lines), empty="no figures of that time; heartbeats bring them")


def _shown(index: int, title: str) -> Any:
    """A figure as a person reads it: bytes in their unit, the others with few digits."""
    bytes_ = title.endswith((" B", " B/s"))
    rate = "/s" if title.endswith("/s") else ""
    return lambda row: f"{size(round(row[2][index]))}{rate}" if bytes_ else f"{row[2][index]:.4g}"


def _when(option: str, text: str, now: datetime) -> datetime:
    if re.fullmatch(r"\d+[smhdw]", text, re.ASCII):
        return now - _span(option, text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: give a span such as 2h or 7d, or an instant such as 2026-12-31T18:00Z")
    return at if at.tzinfo else at.astimezone()


def _span(option: str, text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,7})([smhdw])", text, re.ASCII)
    if match is None or int(match[1]) == 0:
        fail(f"{option} {text}: give a span such as 30s, 5m, 2h or 7d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])
