"""What goes wrong with a gateway's call, in one form; each protocol has its own body for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Fault(Exception):  # noqa: N818 - it is told, not only raised
    """An HTTP status and one line of what is wrong; `details` are (field, what is wrong with it)."""

    status: int
    detail: str
    details: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Whose answer it is, where that matters: of a call that could not be carried out just now (408, 503).
    path: str = ""
    #: What only one protocol says.
    extra: Mapping[str, Any] = field(default_factory=dict)
