"""Lines over time, drawn: into a file by matplotlib, into a terminal by plotext. Both come with the extra `plot`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

#: Beyond so many lines a legend hides more than it tells.
_MOST_NAMED: Final = 12
#: Below this a time without its seconds says too little.
_SECONDS_TELL: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Line:
    """What is drawn over `at`: figures by name, each as long."""

    name: str
    at: Sequence[datetime]
    values: Mapping[str, Sequence[float]]


def into_file(lines: Sequence[Line], title: str, path: Path) -> None:
    """Draw into *path*, whose suffix says how (.png, .svg). Raises OSError."""
    import matplotlib as mpl  # noqa: PLC0415 - slow, and an extra

    mpl.use("Agg")
    from matplotlib import dates  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    to_number: Any = dates.date2num

    figure = Figure(figsize=(10, 5), layout="constrained")
    axes = figure.add_subplot()
    curves = _curves(lines)
    for name, at, values in curves:
        axes.plot(to_number(list(at)), list(values), label=name, linewidth=1.2, marker="." if len(at) < 3 else None)  # noqa: PLR2004
    axes.xaxis_date(UTC)
    axes.set_title(f"{title} (UTC)")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    if len(curves) <= _MOST_NAMED:
        axes.legend(loc="upper left", frameon=False)
    figure.autofmt_xdate()
    # The same figures make the same file.
    metadata: dict[str, Any] = {"Date": None} if path.suffix.lower() == ".svg" else {}
    figure.savefig(path, dpi=120, metadata=metadata)


def in_terminal(lines: Sequence[Line], title: str, *, colors: bool) -> str:
    """The drawing as text, as wide as the terminal; times are this machine's."""
    import plotext  # noqa: PLC0415 - an extra

    figure = plotext.figure
    figure.clear()
    curves = _curves(lines)
    for name, at, values in curves:
        curve = figure.signal([one.timestamp() for one in at], list(values))
        curve.label(name)
        figure.draw(curve.lines())
    first, last = min(at[0] for _, at, _ in curves), max(at[-1] for _, at, _ in curves)
    steps = 4 if last > first else 0
    ticks = [first + (last - first) * step / max(steps, 1) for step in range(steps + 1)]
    form = "%H:%M:%S" if last - first < _SECONDS_TELL else "%m-%d %H:%M"
    figure.ruler("x").ticks([one.timestamp() for one in ticks], [one.astimezone().strftime(form) for one in ticks])
    figure.title(title)
    text = str(figure.build().string())
    return text if colors else str(plotext.uncolorize(text))


def _curves(lines: Sequence[Line]) -> list[tuple[str, Sequence[datetime], Sequence[float]]]:
    return [
        (" ".join(word for word in (line.name, name) if word), line.at, values)
        for line in lines
        for name, values in line.values.items()
        if name != "count" and line.at
    ]
