"""Lists that come in pages: as many as were asked for, and a word when there is more."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from coordinator.cli.command import Session
from coordinator.cli.output import Column, say, show_json, show_table

T = TypeVar("T")

_PAGE = 1000
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, max=1_000_000, help="At most so many.")]


def gather(ask: Callable[[Any, int], Any], limit: int) -> tuple[list[Any], Any]:
    """Up to *limit* items of the pages that *ask*(cursor, size) brings, and the cursor of what follows."""
    items: list[Any] = []
    cursor = None
    while len(items) < limit:
        page = ask(cursor, min(_PAGE, limit - len(items)))
        items.extend(page.items)
        cursor = page.next
        if cursor is None:
            break
    return items, cursor


def show_pages(
    session: Session, ask: Callable[[Any, int], Any], limit: int, columns: list[Column], *, empty: str
) -> None:
    """A list, as a table or as JSON: `{"items": […], "next": cursor}`."""
    items, cursor = gather(ask, limit)
    if session.json:
        show_json({"items": [item.model_dump(mode="json") for item in items], "next": cursor})
        return
    show_table(columns, items, empty=empty)
    if cursor is not None:
        say(f"(the first {len(items)}; more with --limit)")
