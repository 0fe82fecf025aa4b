"""How answers look: tables and lines for people, JSON for programs.

Whatever a task or a worker said is made harmless before it reaches a terminal.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console
    from rich.table import Table

#: Control characters, and those that reorder text; line ends and tabs are handled apart.
_HARMFUL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_WIDE: Final = 10_000


def clean(text: str) -> str:
    """*text* on one line, with nothing in it that a terminal would obey."""
    return _escaped(" ".join(text.split("\n")).replace("\t", " "))


def clean_lines(text: str) -> str:
    """*text* with its lines, and nothing else in it that a terminal would obey; a bare carriage return ends a line."""
    return _escaped(text.replace("\r\n", "\n").replace("\r", "\n"))


def _escaped(text: str) -> str:
    return _HARMFUL.sub(lambda match: match[0].encode("unicode_escape", "surrogatepass").decode(), text)


def say(text: str) -> None:
    """A message to a person."""
    sys.stderr.write(clean_lines(text) + "\n")
    sys.stderr.flush()


def write(text: str = "") -> None:
    """A line of the answer, as it is."""
    sys.stdout.write(text + "\n")


def show_json(answer: "BaseModel | Sequence[BaseModel] | dict[str, Any]") -> None:
    """An answer to a program."""
    if isinstance(answer, dict):
        content: Any = answer
    elif isinstance(answer, Sequence):
        content = [item.model_dump(mode="json") for item in answer]
    else:
        content = answer.model_dump(mode="json")
    write(json.dumps(content, indent=2))


def console(*, stderr: bool = False) -> "Console":
    """Where tables go: as wide as the terminal, or as wide as they are."""
    from rich.console import Console  # noqa: PLC0415 - not needed for JSON or help

    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False, soft_wrap=False)
    if not made.is_terminal:
        made.width = _WIDE
    return made


class Column:
    """A column of a table: its title, and what it shows of a row. *keep*: never cut."""

    def __init__(self, title: str, value: Callable[[Any], object], *, keep: bool = False, right: bool = False) -> None:
        self.title = title
        self.value = value
        self.keep = keep
        self.right = right


def show_table(columns: Sequence[Column], rows: Iterable[Any], *, empty: str) -> None:
    """Rows for people; *empty* says what it means that there are none, and what to do."""
    from rich.table import Table  # noqa: PLC0415

    cells = [[_cell(column.value(row)) for column in columns] for row in rows]
    if not cells:
        say(empty)
        return
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(
            column.title,
            no_wrap=True,
            min_width=max(len(line[index]) for line in cells) if column.keep else None,
            justify="right" if column.right else "left",
        )
    for line in cells:
        table.add_row(*line)
    _print(table)


def show_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Names and values, one a line; those without a value are left out."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        if (text := _cell(value)) not in ("", "-"):
            table.add_row(name, text)
    _print(table)


def _print(table: "Table") -> None:
    out = console()
    if out.is_terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    write("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return ago(value)
    if isinstance(value, list | tuple | set | frozenset):
        return ",".join(clean(str(item)) for item in value)
    return clean(str(value))


def ago(at: datetime, now: datetime | None = None) -> str:
    """How long ago, or in how long, in one unit."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < -1:
        return f"in {duration(-seconds)}"
    return f"{duration(max(0.0, seconds))} ago"


def duration(seconds: float) -> str:
    """*seconds* in one or two units."""
    whole = round(seconds)
    for unit, size, part, part_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part_size
            return f"{whole // size}{unit}{rest}{part}" if rest and whole < 10 * size else f"{whole // size}{unit}"
    return f"{whole}s"


def span(start: datetime | None, end: datetime | None) -> str:
    """From *start* to *end* (or until now); nothing when it has not begun."""
    return "-" if start is None else duration(((end or datetime.now(UTC)) - start).total_seconds())


def size(count: int) -> str:
    """Bytes in a unit that a person reads."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:  # noqa: PLR2004
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def plural(count: int, noun: str) -> str:
    """*count* of *noun*."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
